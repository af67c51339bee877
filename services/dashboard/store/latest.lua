-- Keep a value unless a later one is known.
-- KEYS  hash;  ARGV  field, when (ISO 8601 in UTC, so that text sorts as time), value

local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and string.sub(known, 1, #ARGV[2]) > ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return 1
