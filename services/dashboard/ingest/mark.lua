-- Mark segments of the archive as applied, unless Redis has lost one of their batches.
-- KEYS  marked segments, then the mark of each batch;  ARGV  segments, one at least
-- Returns 1 when the segments are marked, else 0.

if #KEYS == 1 then
  return 0
end
for index = 2, #KEYS do
  if redis.call('EXISTS', KEYS[index]) == 0 then
    return 0
  end
end
redis.call('SADD', KEYS[1], unpack(ARGV))
for index = 2, #KEYS do
  redis.call('DEL', KEYS[index])
end
return 1
