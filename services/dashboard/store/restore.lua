-- Raise counts to those that were stored when their messages were removed from the archive. A count is never lowered.
--
-- ARGV[1]  JSON: buckets, each {key, expires at (Unix time; 0: never), total or '', the same of the total, {field: count}}
-- ARGV[2]  now (Unix time)

for _, bucket in ipairs(cjson.decode(ARGV[1])) do
  local key, expiry, total, total_expiry = bucket[1], bucket[2], bucket[3], bucket[4]
  for field, count in pairs(bucket[5]) do
    local more = count - (tonumber(redis.call('HGET', key, field) or '0') or 0)
    if more > 0 then
      redis.call('HINCRBY', key, field, string.format('%.0f', more))
      if total ~= '' then
        redis.call('HINCRBY', total, field, string.format('%.0f', more))
      end
    end
  end
  if expiry > 0 then
    redis.call('EXPIREAT', key, expiry)
  end
  if total ~= '' and total_expiry > 0 and redis.call('TTL', total) < total_expiry - tonumber(ARGV[2]) then
    redis.call('EXPIREAT', total, total_expiry)
  end
end
return 0
