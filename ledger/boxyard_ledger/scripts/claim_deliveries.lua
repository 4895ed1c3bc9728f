#!lua flags=allow-oom
-- Takes due deliveries of one receiver that nobody holds; the receiver leaves the index and is
-- held by a lease until each outcome is in. One that failed last, or is new, gets one delivery; with
-- each that it takes it gets one more. One that asked for a rest is not due before its end.
-- KEYS: 1 receivers, 2 receivers' leases, 3 pending, 4 sending, 5 streak, 6 rest, then each
--   delivery.
-- ARGV: 1 lease (ms), 2 receiver, 3 worker, then each tenant/delivery.
-- Answers claims: {token, attempt, record}.
local now, claims = now_ms(), {}
local due = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not due or tonumber(due) > now or redis.call('ZSCORE', KEYS[2], ARGV[2]) then return claims end
local rest = redis.call('PTTL', KEYS[6])
if rest > 0 then
  redis.call('ZADD', KEYS[1], now + rest, ARGV[2])
  return claims
end
local room = 1 + (redis.call('GET', KEYS[5]) or 0)
for index = 7, #KEYS do
  local delivery, member = KEYS[index], ARGV[index - 3]
  local at = redis.call('ZSCORE', KEYS[3], member)
  if at and tonumber(at) <= now and #claims < room then
    redis.call('ZREM', KEYS[3], member)
    local token = redis.call('HINCRBY', delivery, 'token', 1)
    local attempt = redis.call('HINCRBY', delivery, 'attempts', 1)
    redis.call('HSET', delivery, 'state', 'sending', 'worker', ARGV[3])
    redis.call('SADD', KEYS[4], member)
    claims[#claims + 1] = {token, attempt, redis.call('HGET', delivery, 'record')}
  end
end
if #claims > 0 then
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[1]), ARGV[2])
  redis.call('ZREM', KEYS[1], ARGV[2])
else
  offer(KEYS[1], KEYS[3], ARGV[2])
end
return claims
