-- What wrk sends, and how it reports: one line of JSON that run.py reads.
wrk.method = "POST"
wrk.path = "/predict"
wrk.body = '{"data":[5.1,3.5,1.4,0.2]}'
wrk.headers["Content-Type"] = "application/json"

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format('{"requests":%d,"microseconds":%d,"not_2xx":%d,"failed":%d}\n',
      summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout))
end
