-- Takes credits from a key, as one step.
-- KEYS[1]: the key's hash. ARGV: amount, a whole number; the time as ISO text.
-- 1: taken. 0: not enough credits, or no such key. -1: revoked.
-- A number with a fraction, which a record of old may hold, counts as the whole number below it.
local function whole(field)
  local text = redis.call('HGET', KEYS[1], field)
  local number = math.floor(tonumber(text or '0') or 0)
  if text and not string.match(text, '^%-?%d+$') then
    redis.call('HSET', KEYS[1], field, string.format('%.0f', number))
  end
  return number
end

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('HGET', KEYS[1], 'active') == '0' then return -1 end
if whole('credits') < tonumber(ARGV[1]) then return 0 end
whole('totalSpent')
whole('totalCalls')
if ARGV[1] ~= '0' then redis.call('HINCRBY', KEYS[1], 'credits', '-' .. ARGV[1]) end
redis.call('HINCRBY', KEYS[1], 'totalSpent', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'totalCalls', 1)
redis.call('HSET', KEYS[1], 'lastUsedAt', ARGV[2])
return 1
