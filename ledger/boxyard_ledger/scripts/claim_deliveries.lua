#!lua flags=allow-oom
-- Takes due deliveries of one receiver that nobody holds; the receiver leaves the index and is
-- held by a lease until each outcome is in. One that failed last, or is new, gets one delivery; with
-- each that it takes it gets one more. One that asked for a rest is not due before its end.
-- KEYS: 1 receivers, 2 receivers' leases, 3 pending, 4 sending, 5 streak, 6 rest, then each
--   delivery.
-- ARGV: 1 lease (ms), 2 receiver, 3 worker, then each tenant/delivery.
-- Answers {claims, set aside because they cannot be read}; a claim is {token, attempt, record,
-- tenant/delivery, when it was due}, and what was set aside {the pending index, tenant/delivery, reason}.
local now, claims, aside = now_ms(), {}, {}
local due = call('ZSCORE', KEYS[1], ARGV[2])
if not due or tonumber(due) > now then return {claims, aside} end
if call('ZSCORE', KEYS[2], ARGV[2]) then -- who frees it offers it again
  call('ZREM', KEYS[1], ARGV[2])
  return {claims, aside}
end
local rest = call('PTTL', KEYS[6])
if rest > 0 then
  call('ZADD', KEYS[1], now + rest, ARGV[2])
  return {claims, aside}
end
local room = 1 + math.max(0, finite(call('GET', KEYS[5])) or 0)
for index = 7, #KEYS do
  local delivery, member = KEYS[index], ARGV[index - 3]
  local at = call('ZSCORE', KEYS[3], member)
  if at and tonumber(at) <= now and #claims < room then
    local known = call('HMGET', delivery, 'record', 'state', 'token', 'attempts')
    local fault = find_fault(known[1])
    if not known[1] and not known[2] then
      fault = 'missing'
    elseif not is_count(known[3]) or not is_count(known[4]) then
      fault = fault or 'incomplete'
    end
    if fault then
      set_aside(KEYS[3], member, fault, fault ~= 'missing')
      aside[#aside + 1] = {KEYS[3], member, fault}
    else
      call('ZREM', KEYS[3], member)
      local token = call('HINCRBY', delivery, 'token', 1)
      local attempt = call('HINCRBY', delivery, 'attempts', 1)
      call('HSET', delivery, 'state', 'sending', 'worker', ARGV[3])
      call('SADD', KEYS[4], member)
      claims[#claims + 1] = {token, attempt, known[1], member, at}
    end
  end
end
if #claims > 0 then
  call('ZADD', KEYS[2], now + tonumber(ARGV[1]), ARGV[2])
  call('ZREM', KEYS[1], ARGV[2])
else
  offer(KEYS[1], KEYS[3], ARGV[2])
end
return {claims, aside}
