-- Mark a merged segment, if every segment that it is made of is marked.
-- KEYS  marked segments;  ARGV  the merged segment, then those that it is made of

for index = 2, #ARGV do
  if redis.call('SISMEMBER', KEYS[1], ARGV[index]) == 0 then
    return 0
  end
end
redis.call('SADD', KEYS[1], ARGV[1])
return 1
