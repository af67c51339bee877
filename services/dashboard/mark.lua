-- Mark a segment of the archive as applied, unless Redis has lost one of its batches.
-- KEYS  marked segments, then the mark of each batch of the segment;  ARGV  segment
-- Returns 1 when the segment is marked, else 0.

if #KEYS == 1 then
  return 0
end
for index = 2, #KEYS do
  if redis.call('EXISTS', KEYS[index]) == 0 then
    return 0
  end
end
redis.call('SADD', KEYS[1], ARGV[1])
for index = 2, #KEYS do
  redis.call('DEL', KEYS[index])
end
return 1
