#!lua flags=allow-oom
-- Makes a dead job ready again, at its old age, as if it had never been tried; its token goes on,
-- so that what its old claims say stays refused.
-- KEYS: 1 job, 2 ready, 3 queued, 4 listed as dead, 5 ended, 6 bytes of the
--   tenant's records.
-- ARGV: 1 tenant/job, 2 job, 3 created (ms).
if call('HGET', KEYS[1], 'state') ~= 'dead' then return 0 end
local bytes = finite(call('HGET', KEYS[1], 'bytes')) or 0
count_bytes(KEYS[6], 'ended', -bytes)
count_bytes(KEYS[6], 'open', bytes)
call('HSET', KEYS[1], 'state', 'queued', 'attempts', 0)
call('HDEL', KEYS[1], 'strikes', 'reason', 'started_at', 'finished_at')
call('ZADD', KEYS[2], ARGV[3], ARGV[1])
call('ZADD', KEYS[3], 0, ARGV[2])
call('ZREM', KEYS[4], ARGV[2])
call('ZREM', KEYS[5], ARGV[1])
return 1
