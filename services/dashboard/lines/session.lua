-- Raise the counts of a camera's session. They only grow, so an old report changes nothing.
--
-- KEYS  session, total of the line, total of the camera, lines, sessions of the camera
-- ARGV  captured, dropped, unreadable, triggers, missed_triggers, seconds until the session expires, line, session,
--       hour (YYYY-MM-DDTHH) of the message, Unix times of its arrival and of now

for index, name in ipairs({'captured', 'dropped', 'unreadable', 'triggers', 'missed_triggers'}) do
  local now = tonumber(ARGV[index])
  local more = now - tonumber(redis.call('HGET', KEYS[1], name) or '0')
  if more > 0 then
    redis.call('HINCRBY', KEYS[1], name, more)
    redis.call('HINCRBY', KEYS[2], name, more)
    redis.call('HINCRBY', KEYS[3], name, more)
  end
  -- the highest count in that hour, in whatever order messages arrive
  local hour = name .. '@' .. ARGV[9]
  if now > tonumber(redis.call('HGET', KEYS[1], hour) or '0') then
    redis.call('HSET', KEYS[1], hour, now)
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('SADD', KEYS[4], ARGV[7])
local known = tonumber(redis.call('ZSCORE', KEYS[5], ARGV[8]) or '0')
if tonumber(ARGV[10]) > known then
  redis.call('ZADD', KEYS[5], ARGV[10], ARGV[8])
end
redis.call('ZREMRANGEBYSCORE', KEYS[5], 0, tonumber(ARGV[11]) - tonumber(ARGV[6]))
