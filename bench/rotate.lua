-- wrk's half of the load: every request is the next head of a file, until there are enough.
-- Arguments after "--": a file of request heads, one blank line after each; how many to send;
-- the number of the first, so that a later run goes on where this one ends. Eight @ in a head
-- become the request's number.
-- Prints "enough" when they are sent (the caller then ends wrk), and at the end
-- "figures REQUESTS FAILED P50-MICROSECONDS P99-MICROSECONDS".

local heads, tails, sent, last = {}, {}, 0, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local text, start = file:read("*a"), 1
  file:close()
  while start < #text do
    local _, last_byte = text:find("\r\n\r\n", start, true)
    local head = text:sub(start, last_byte)
    local from, to = head:find("@@@@@@@@", 1, true)
    heads[#heads + 1] = from and head:sub(1, from - 1) or head
    tails[#heads] = from and head:sub(to + 1)
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
  local place = sent % #heads + 1
  local tail = tails[place]
  if tail then
    return heads[place] .. string.format("%08x", sent) .. tail
  end
  return heads[place]
end

function done(summary, latency)
  local errors = summary.errors
  io.stdout:write(string.format("figures %d %d %d %d\n", summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
