#!lua flags=allow-oom
-- Frees a receiver whose lease is over; what was under way to it is due again, and its log says so.
-- What is under way and was not named here belongs to a later lease, which is over too by now: then
-- the receiver stays, to be freed when that is named.
-- KEYS: 1 receivers, 2 receivers' leases, 3 pending, 4 sending, then for each delivery: record, log.
-- ARGV: 1 receiver, 2 line for the logs, 3 first line of a log to keep (from its end), then each
--   tenant/delivery.
if not call('ZSCORE', KEYS[2], ARGV[1]) or not is_over(KEYS[2], ARGV[1]) then return 0 end
for index = 1, #ARGV - 3 do
  local delivery, log = KEYS[3 + 2 * index], KEYS[4 + 2 * index]
  local held = call('SREM', KEYS[4], ARGV[3 + index]) == 1
  if held and call('HGET', delivery, 'state') == 'sending' then
    call('HSET', delivery, 'state', 'pending')
    call('RPUSH', log, ARGV[2])
    call('LTRIM', log, ARGV[3], -1)
    call('ZADD', KEYS[3], now_ms(), ARGV[3 + index])
  end
end
if call('EXISTS', KEYS[4]) == 1 then return 0 end
call('ZREM', KEYS[2], ARGV[1])
offer(KEYS[1], KEYS[3], ARGV[1])
return 1
