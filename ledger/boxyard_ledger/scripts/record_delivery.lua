#!lua flags=allow-oom
-- Writes the outcome of one delivery; with the last one its receiver is free again. Until then
-- each outcome prolongs the receiver's lease: its holder lives.
-- KEYS: 1 receivers, 2 receivers' leases, 3 pending, 4 sending, 5 streak, 6 rest, 7 delivery,
--   8 its log, 9 the tenant's exhausted ones.
-- ARGV: 1 lease (ms), 2 receiver, 3 tenant/delivery, 4 token, 5 state, 6 pause before it is due
--   again (ms) or '', 7 rest that the receiver asked for (ms) or 0, 8 life of a streak (ms),
--   9 attempt, 10 first line of the log to keep (from its end), 11 attempts to add (0 or -1).
-- Answers 1 when this outcome stands: also when it was recorded before and the answer lost.
local known = call('HMGET', KEYS[7], 'state', 'token', 'recorded')
if known[3] == ARGV[4] then return 1 end
local held = known[1] == 'sending' and known[2] == ARGV[4]
-- A delivery that was forgotten with its job has no outcome, yet its receiver must be freed.
if known[1] and not held then return 0 end
if call('SREM', KEYS[4], ARGV[3]) == 0 then return 0 end
if held then
  call('HINCRBY', KEYS[7], 'attempts', ARGV[11])
  call('HSET', KEYS[7], 'state', ARGV[5], 'recorded', ARGV[4])
  call('RPUSH', KEYS[8], ARGV[9])
  call('LTRIM', KEYS[8], ARGV[10], -1)
  if ARGV[6] ~= '' then call('ZADD', KEYS[3], now_ms() + tonumber(ARGV[6]), ARGV[3]) end
  if ARGV[5] == 'exhausted' then call('ZADD', KEYS[9], 0, ARGV[3]) end
end
if ARGV[5] ~= 'delivered' then
  call('DEL', KEYS[5])
elseif call('EXISTS', KEYS[3]) == 1 then
  call('SET', KEYS[5], (finite(call('GET', KEYS[5])) or 0) + 1)
  call('PEXPIRE', KEYS[5], ARGV[8])
end
if tonumber(ARGV[7]) > 0 then call('SET', KEYS[6], 1, 'PX', ARGV[7]) end
if call('EXISTS', KEYS[4]) == 1 then
  call('ZADD', KEYS[2], now_ms() + tonumber(ARGV[1]), ARGV[2])
else
  call('ZREM', KEYS[2], ARGV[2])
  offer(KEYS[1], KEYS[3], ARGV[2])
end
return held and 1 or 0
