-- Delete all keys but some in a single step, and give the projection a new id. In several steps, a frame that is counted
-- between the deletion of its count and of the bit that it was seen would be counted twice, or never.
--
-- KEYS[1]  key of the id of the projection
-- ARGV[1]  pattern of the keys
-- ARGV[2]  a key that stays
-- ARGV[3]  prefix of further keys that stay
-- ARGV[4]  the new id

local found
repeat
  found = 0
  local cursor = '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      if key ~= ARGV[2] and string.sub(key, 1, #ARGV[3]) ~= ARGV[3] then
        redis.call('UNLINK', key)
        found = found + 1
      end
    end
  until cursor == '0'
until found == 0
redis.call('SET', KEYS[1], ARGV[4])
return 0
