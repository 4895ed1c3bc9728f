#!lua flags=allow-oom
-- Undoes the claim of a delivery whose record its deliverer cannot read, and sets it aside; with the
-- last one under way its receiver is free again.
-- KEYS: 1 receivers, 2 receivers' leases, 3 pending, 4 sending, 5 delivery.
-- ARGV: 1 receiver, 2 tenant/delivery, 3 token, 4 its score in pending, 5 reason.
local known = call('HMGET', KEYS[5], 'state', 'token')
if known[1] ~= 'sending' or known[2] ~= ARGV[3] then return 0 end
call('HINCRBY', KEYS[5], 'attempts', -1)
call('HSET', KEYS[5], 'state', 'pending')
call('SREM', KEYS[4], ARGV[2])
call('ZADD', KEYS[3], ARGV[4], ARGV[2])
local moved = set_aside(KEYS[3], ARGV[2], ARGV[5], true)
if call('EXISTS', KEYS[4]) == 0 then
  call('ZREM', KEYS[2], ARGV[1])
  offer(KEYS[1], KEYS[3], ARGV[1])
end
return moved
