-- One machine-readable line at the end. BODY=<bytes> sends POSTs; CLOSE=1 asks for a connection per request.
local bytes = tonumber(os.getenv("BODY") or "") or 0
if bytes > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("a", bytes)
end
if os.getenv("CLOSE") == "1" then wrk.headers["Connection"] = "close" end

function done(summary, latency)
  local e = summary.errors
  print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
