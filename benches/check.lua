-- As post.lua; it also compares every answer with two files, which the third and fourth argument name, and counts how
-- many equal the first, the second, and neither.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

local threads = {}
first, second, neither = 0, 0, 0

function setup(thread)
   table.insert(threads, thread)
end

local function whole(name)
   return io.open(name, "rb"):read("*a")
end

function init(args)
   wrk.path = args[1]
   wrk.body = whole(args[2])
   one, other = whole(args[3]), whole(args[4])
end

function response(status, headers, body)
   if status == 200 and body == one then
      first = first + 1
   elseif status == 200 and body == other then
      second = second + 1
   else
      neither = neither + 1
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   local a, b, none = 0, 0, 0
   for _, thread in ipairs(threads) do
      a, b, none = a + thread:get("first"), b + thread:get("second"), none + thread:get("neither")
   end
   io.write(string.format('{"requests":%d,"not_2xx":%d,"failed":%d,"first":%d,"second":%d,"neither":%d}\n',
      summary.requests, e.status, e.connect + e.read + e.write + e.timeout, a, b, none))
end
