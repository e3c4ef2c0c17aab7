-- Posts the bodies of the file named first on the command line, one a line, over and over.
-- The second argument is the Authorization header. Prints one JSON line of figures at the end.

local requests = {}
local turn = 0

function init(args)
  local headers = { ["Content-Type"] = "application/json", ["Authorization"] = args[2] }
  for body in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", "/webhooks/pipedrive", headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, failed))
end
