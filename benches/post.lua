-- What wrk sends, and how it reports: one line of JSON that run.py reads. The arguments are the path, and the
-- file that the body is read from.
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
