-- Writes what is known of a key over what Redis has, but adds to its numbers only what changed here since both
-- agreed, as one step: what others took and gave meanwhile stays.
-- KEYS[1]: the key's hash. ARGV: what to add to credits, totalSpent and totalCalls; then fields and their values.
-- 1: written. 0: no such key, nothing was written.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for place, field in ipairs({'credits', 'totalSpent', 'totalCalls'}) do
  if ARGV[place] ~= '0' then
    local text = redis.call('HGET', KEYS[1], field) or '0'
    if not string.match(text, '^%-?%d+$') then
      redis.call('HSET', KEYS[1], field, string.format('%.0f', math.floor(tonumber(text) or 0)))
    end
    if redis.call('HINCRBY', KEYS[1], field, ARGV[place]) < 0 then
      redis.call('HSET', KEYS[1], field, '0')
    end
  end
end
if #ARGV > 3 then redis.call('HSET', KEYS[1], unpack(ARGV, 4)) end
return 1
