-- Adds credits to a key, as one step.
-- KEYS[1]: the key's hash. ARGV: amount, a whole number; the most credits there can be.
-- 1: added. 0: revoked. -1: no such key. -2: the sum would be too large.
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if redis.call('HGET', KEYS[1], 'active') == '0' then return 0 end
local text = redis.call('HGET', KEYS[1], 'credits') or '0'
local credits = math.floor(tonumber(text) or 0)
if credits + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return -2 end
if not string.match(text, '^%-?%d+$') then
  redis.call('HSET', KEYS[1], 'credits', string.format('%.0f', credits))
end
redis.call('HINCRBY', KEYS[1], 'credits', ARGV[1])
return 1
