#!lua flags=allow-oom
-- Writes the outcome of one delivery; with the last one its receiver is free again. Until then
-- each outcome prolongs the receiver's lease: its holder lives.
-- KEYS: 1 receivers, 2 receivers' leases, 3 pending, 4 sending, 5 delivery, 6 its log.
-- ARGV: 1 lease (ms), 2 receiver, 3 tenant/delivery, 4 token, 5 state, 6 next at (ms) or '',
--   7 attempt, 8 lines of the log to keep.
local known = redis.call('HMGET', KEYS[5], 'state', 'token')
if known[1] ~= 'sending' or known[2] ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[5], 'state', ARGV[5])
redis.call('RPUSH', KEYS[6], ARGV[7])
redis.call('LTRIM', KEYS[6], -ARGV[8], -1)
if ARGV[6] ~= '' then redis.call('ZADD', KEYS[3], ARGV[6], ARGV[3]) end
redis.call('SREM', KEYS[4], ARGV[3])
if redis.call('SCARD', KEYS[4]) > 0 then
  redis.call('ZADD', KEYS[2], now_ms() + tonumber(ARGV[1]), ARGV[2])
else
  redis.call('ZREM', KEYS[2], ARGV[2])
  offer(KEYS[1], KEYS[3], ARGV[2])
end
return 1
