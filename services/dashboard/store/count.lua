-- Count facts about frames, each once: a fact whose bit is already set changes nothing.
--
-- ARGV[1]  seconds until the bits expire
-- ARGV[2]  JSON: places, each {{bucket, expires at (Unix time; 0: never)}, …}
-- ARGV[3]  JSON: lists of fields
-- ARGV[4]  JSON: facts, each {seen, bit, number of its place, number of its list of fields} (numbers from 1)
--
-- Returns a list of 1 (counted now) and 0 (was counted before), in the order of the facts.

local places, lists, facts = cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
local counted, at_places, bitmaps = {}, {}, {}

for index, fact in ipairs(facts) do
  local seen, bit, place, fields = fact[1], fact[2], fact[3], lists[fact[4]]
  local first = redis.call('SETBIT', seen, bit, 1) == 0
  counted[index] = first and 1 or 0
  bitmaps[seen] = true
  if first then
    local sum = at_places[place] or {}
    at_places[place] = sum
    for _, field in ipairs(fields) do
      sum[field] = (sum[field] or 0) + 1
    end
  end
end

-- frames of several places share buckets: a day holds many minutes
local sums, expiries = {}, {}
for place, more in pairs(at_places) do
  for _, bucket in ipairs(places[place]) do
    local sum = sums[bucket[1]] or {}
    sums[bucket[1]], expiries[bucket[1]] = sum, bucket[2]
    for field, amount in pairs(more) do
      sum[field] = (sum[field] or 0) + amount
    end
  end
end

for key, sum in pairs(sums) do
  local fields, written = {}, {}
  for field in pairs(sum) do
    fields[#fields + 1] = field
  end
  local known = redis.call('HMGET', key, unpack(fields))
  for index, field in ipairs(fields) do
    written[#written + 1] = field
    written[#written + 1] = string.format('%.0f', (tonumber(known[index] or '0') or 0) + sum[field])
  end
  redis.call('HSET', key, unpack(written))
  if expiries[key] > 0 then
    redis.call('EXPIREAT', key, expiries[key])
  end
end
for seen in pairs(bitmaps) do
  redis.call('EXPIRE', seen, ARGV[1])
end
return counted
