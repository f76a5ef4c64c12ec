-- wrk's half of the load: every request from the next client address, until there are enough.
-- Arguments after "--": a file of request heads, one blank line after each; how many to send.
-- Prints "enough" when they are sent (the caller then ends wrk), and
-- "figures REQUESTS FAILED" at the end.

local heads, sent, enough = {}, 0, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  for head in file:read("*a"):gmatch("(.-\r\n\r\n)") do
    heads[#heads + 1] = head
  end
  file:close()
  enough = tonumber(arguments[2])
end

function request()
  sent = sent + 1
  if sent == enough then
    wrk.thread:stop()
    io.stdout:write("enough\n")
    io.stdout:flush()
  end
  return heads[sent % #heads + 1]
end

function done(summary)
  local errors = summary.errors
  io.stdout:write(string.format("figures %d %d\n", summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
