-- Store a camera's report, unless a newer one is stored. The clocks of cameras are not trusted: within one session the
-- count of frames decides; times decide only between reports that arrive within some seconds of each other.
--
-- KEYS  cameras of the line
-- ARGV  camera, session, frames captured, Unix times of the report (at most that of its arrival) and of its arrival,
--       1 if the session is over, seconds, 1 if it arrives now (0: read from the archive), report

local captured, reported, received = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local text = redis.call('HGET', KEYS[1], ARGV[1])
if text then
  local stored = cjson.decode(text)
  if ARGV[8] == '0' and received < stored.received then
    return 0
  end
  if stored.session == ARGV[2] and (stored.over == 1 or captured < stored.captured) then
    return 0
  end
  if reported < stored.reported and received - stored.received < tonumber(ARGV[7]) then
    return 0
  end
end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({
  session = ARGV[2], captured = captured, reported = reported, received = received, over = tonumber(ARGV[6]),
  report = ARGV[9]
}))
return 1
