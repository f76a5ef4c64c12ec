-- wrk's half of the load: every request is the next head of a file, until there are enough.
-- Arguments after "--": a file of request heads, one blank line after each; how many to send;
-- the number of the first, so that a later run goes on where this one ends. Eight @ in a head
-- become the request's number.
-- Prints "enough" when they are sent (the caller then ends wrk), and at the end
-- "figures REQUESTS FAILED P50-MICROSECONDS P99-MICROSECONDS".

local heads, sent, last = {}, 0, 0

local function split(head)
  local parts, start = {}, 1
  while true do
    local from, to = head:find("@@@@@@@@", start, true)
    parts[#parts + 1] = head:sub(start, from and from - 1)
    if not from then
      return parts
    end
    start = to + 1
  end
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local text, start = file:read("*a"), 1
  file:close()
  while start < #text do
    local _, last_byte = text:find("\r\n\r\n", start, true)
    heads[#heads + 1] = split(text:sub(start, last_byte))
    start = last_byte + 1
  end
  sent = tonumber(arguments[3])
  last = sent + tonumber(arguments[2])
end

function request()
  sent = sent + 1
  if sent == last then
    wrk.thread:stop()
    io.stdout:write("enough\n")
    io.stdout:flush()
  end
  local parts = heads[sent % #heads + 1]
  if #parts == 1 then
    return parts[1]
  end
  return table.concat(parts, string.format("%08x", sent))
end

function done(summary, latency)
  local errors = summary.errors
  io.stdout:write(string.format("figures %d %d %d %d\n", summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
