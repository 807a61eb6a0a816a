-- The requests of wrk and its report, one line of JSON that run.py reads. The arguments are the request path and the
-- file that holds the body.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function init(args)
   wrk.path = args[1]
   wrk.body = io.open(args[2], "rb"):read("*a")
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format('{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"not_2xx":%d,"failed":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      e.status, e.connect + e.read + e.write + e.timeout))
end
