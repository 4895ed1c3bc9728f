#!lua flags=allow-oom
-- Makes a running job ready again, at its old age.
-- KEYS: 1 job, 2 ready, 3 leases, 4 expiries, 5 queued, 6 running.
-- ARGV: 1 tenant/job, 2 job, 3 token, 4 created (ms), 5 reason, 6 strikes or '',
--   7 attempts to add (0 or -1), 8 '1' when only a claim whose lease is over may be taken.
if not holds(KEYS[1], ARGV[3]) then return 0 end
if ARGV[8] == '1' and not is_over(KEYS[3], ARGV[1]) then return 0 end
call('HINCRBY', KEYS[1], 'attempts', ARGV[7])
call('HSET', KEYS[1], 'state', 'queued', 'reason', ARGV[5])
if ARGV[6] ~= '' then call('HSET', KEYS[1], 'strikes', ARGV[6]) end
call('ZADD', KEYS[2], ARGV[4], ARGV[1])
call('ZADD', KEYS[5], 0, ARGV[2])
call('ZREM', KEYS[3], ARGV[1])
call('ZREM', KEYS[6], ARGV[2])
return 1
