#!lua flags=allow-oom
-- Frees a receiver whose lease is over; what was under way to it is due again.
-- KEYS: 1 receivers, 2 receivers' leases, 3 pending, 4 sending, then each delivery.
-- ARGV: 1 receiver, then each tenant/delivery.
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) or not is_over(KEYS[2], ARGV[1]) then return 0 end
for index = 5, #KEYS do
  if redis.call('HGET', KEYS[index], 'state') == 'sending' then
    redis.call('HSET', KEYS[index], 'state', 'pending')
    redis.call('ZADD', KEYS[3], now_ms(), ARGV[index - 3])
  end
end
redis.call('DEL', KEYS[4])
redis.call('ZREM', KEYS[2], ARGV[1])
offer(KEYS[1], KEYS[3], ARGV[1])
return 1
