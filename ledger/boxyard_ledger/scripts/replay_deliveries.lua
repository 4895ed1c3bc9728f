#!lua
-- Makes deliveries that have ended due again, as if they were new; their logs stay.
-- KEYS: 1 receivers, 2 receivers' leases, 3 the tenant's exhausted ones, then for each delivery:
--   record, its receiver's pending ones.
-- ARGV: for each delivery: tenant/delivery, receiver.
-- Answers the former state of each, or '' of one that is not there.
local states = {}
for index = 1, #ARGV / 2 do
  local delivery, pending = KEYS[2 + 2 * index], KEYS[3 + 2 * index]
  local member, receiver = ARGV[2 * index - 1], ARGV[2 * index]
  local state = call('HGET', delivery, 'state')
  states[index] = state or ''
  if state == 'delivered' or state == 'exhausted' then
    call('HSET', delivery, 'state', 'pending', 'attempts', 0)
    call('ZADD', pending, now_ms(), member)
    if not call('ZSCORE', KEYS[2], receiver) then offer(KEYS[1], pending, receiver) end
  end
  call('ZREM', KEYS[3], member)
end
return states
