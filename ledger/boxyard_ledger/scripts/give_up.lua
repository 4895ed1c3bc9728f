#!lua flags=allow-oom
-- Ends a job that cannot be read, so that it can be forgotten. No delivery reports its end.
-- KEYS: 1 job, 2 leases, 3 expiries, 4 ready (or 2 again when its model is not known), 5 ended,
--   6 bytes of the tenant's records, 7 listed as dead, 8 queued, 9 running, then listed by the other
--   states.
-- ARGV: 1 tenant/job, 2 job, 3 its state and 4 its token when it was read, '' for none.
-- Answers 0 when somebody changed it since.
local known = call('HMGET', KEYS[1], 'state', 'token', 'bytes')
if (known[1] or '') ~= ARGV[3] or (known[2] or '') ~= ARGV[4] then return 0 end
local bytes = finite(known[3]) or call('HSTRLEN', KEYS[1], 'record')
-- The state may be what cannot be read: the lists say on which account the bytes are.
if call('ZREM', KEYS[8], ARGV[2]) + call('ZREM', KEYS[9], ARGV[2]) > 0 then
  count_bytes(KEYS[6], 'open', -bytes)
  count_bytes(KEYS[6], 'ended', bytes)
end
for index = 2, 4 do call('ZREM', KEYS[index], ARGV[1]) end
for index = 10, #KEYS do call('ZREM', KEYS[index], ARGV[2]) end
call('HSET', KEYS[1], 'state', 'dead', 'bytes', bytes)
call('ZADD', KEYS[5], now_ms(), ARGV[1])
call('ZADD', KEYS[7], 0, ARGV[2])
return 1
