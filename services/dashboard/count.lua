-- Count facts about frames, each once: a fact whose bit is already set changes nothing.
--
-- ARGV[1]  seconds that the bits are kept
-- ARGV[2]  JSON: a list of facts, each {seen, bit, {{bucket, expires at (Unix time; 0: never)}, …}, {field, …}}
--
-- Returns a list of 1 (counted now) and 0 (was counted before), in the order of the facts.

local facts = cjson.decode(ARGV[2])
local counted, sums, expiries, bitmaps = {}, {}, {}, {}

for index, fact in ipairs(facts) do
  local seen, bit, buckets, fields = fact[1], fact[2], fact[3], fact[4]
  local first = redis.call('SETBIT', seen, bit, 1) == 0
  counted[index] = first and 1 or 0
  bitmaps[seen] = true
  if first then
    for _, bucket in ipairs(buckets) do
      local key = bucket[1]
      local sum = sums[key] or {}
      sums[key], expiries[key] = sum, bucket[2]
      for _, field in ipairs(fields) do
        sum[field] = (sum[field] or 0) + 1
      end
    end
  end
end

for key, sum in pairs(sums) do
  for field, amount in pairs(sum) do
    redis.call('HINCRBY', key, field, amount)
  end
  if expiries[key] > 0 then
    redis.call('EXPIREAT', key, expiries[key])
  end
end
for seen in pairs(bitmaps) do
  redis.call('EXPIRE', seen, ARGV[1])
end
return counted
