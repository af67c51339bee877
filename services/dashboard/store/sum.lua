-- Add up buckets in Redis, so that they are not sent to the dashboard. Changes nothing.
--
-- ARGV[1]  JSON: groups, each a list of buckets
-- ARGV[2]  JSON: the fields to add up; none: all of them
--
-- Returns JSON: for each group an object of field and sum.

local groups, wanted = cjson.decode(ARGV[1]), cjson.decode(ARGV[2])
local answer = {}

for index, group in ipairs(groups) do
  local sums = {}
  for _, key in ipairs(group) do
    if #wanted > 0 then
      local amounts = redis.call('HMGET', key, unpack(wanted))
      for at, field in ipairs(wanted) do
        if amounts[at] then
          sums[field] = (sums[field] or 0) + tonumber(amounts[at])
        end
      end
    else
      local fields = redis.call('HGETALL', key)
      for at = 1, #fields, 2 do
        sums[fields[at]] = (sums[fields[at]] or 0) + tonumber(fields[at + 1])
      end
    end
  end
  answer[index] = sums
end
return cjson.encode(answer)
