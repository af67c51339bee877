-- Forget all keys but some in a single step: a frame counted between the loss of its count and of the mark that it was
-- seen would be counted twice, or never.
--
-- ARGV[1]  pattern of the keys
-- ARGV[2]  a key that stays
-- ARGV[3]  beginning of further keys that stay

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
return 0
