-- Take in how far a camera's session has come. Its counts only grow, so an old report changes nothing.
--
-- KEYS  session, total of the line, lines
-- ARGV  captured, refused, seconds that the session is kept, line

for index, name in ipairs({'captured', 'refused'}) do
  local known = tonumber(redis.call('HGET', KEYS[1], name) or '0')
  local more = tonumber(ARGV[index]) - known
  if more > 0 then
    redis.call('HINCRBY', KEYS[1], name, more)
    redis.call('HINCRBY', KEYS[2], name, more)
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('SADD', KEYS[3], ARGV[4])
