-- Store a value unless a later one is stored.
-- KEYS  hash;  ARGV  field, time (ISO 8601 in UTC, so that texts sort by time), value

local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and string.sub(known, 1, #ARGV[2]) > ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return 1
