#!lua flags=allow-oom
-- Undoes the claim of a job whose record its worker cannot read, and sets the job aside.
-- KEYS: 1 job, 2 ready, 3 leases, 4 queued, 5 running, 6 expiries.
-- ARGV: 1 tenant/job, 2 job, 3 token, 4 its score in ready, 5 reason,
--   6 its expiry (ms) or ''.
if not holds(KEYS[1], ARGV[3]) then return 0 end
call('HINCRBY', KEYS[1], 'attempts', -1)
call('HSET', KEYS[1], 'state', 'queued')
call('ZREM', KEYS[3], ARGV[1])
call('ZREM', KEYS[5], ARGV[2])
call('ZADD', KEYS[4], 0, ARGV[2])
call('ZADD', KEYS[2], ARGV[4], ARGV[1])
if ARGV[6] ~= '' then call('ZADD', KEYS[6], ARGV[6], ARGV[1]) end
return set_aside(KEYS[2], ARGV[1], ARGV[5], true)
