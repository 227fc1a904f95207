-- Counts a call in a sliding window, unless the window is full, as one step.
-- KEYS[1]: the window's sorted set. ARGV: now and the window in milliseconds, the most calls.
-- {1, calls with this one, 0}: counted. {0, calls, time of the oldest}: full.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[2])
local count = redis.call('ZCARD', KEYS[1])
if count >= tonumber(ARGV[3]) then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return {0, count, tonumber(oldest[2])}
end
-- Calls of one millisecond are told apart by a number; one that is taken is no new call, so another is tried.
local member
repeat
  member = ARGV[1] .. ':' .. math.random(1, 100000)
until not redis.call('ZSCORE', KEYS[1], member)
redis.call('ZADD', KEYS[1], ARGV[1], member)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, count + 1, 0}
