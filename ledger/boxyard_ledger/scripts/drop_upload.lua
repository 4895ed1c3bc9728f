#!lua flags=allow-oom
-- Has an upload erased that no job names.
-- KEYS: 1 uploads, 2 their bytes, 3 loose uploads, 4 bytes of the tenant's records, 5 erasures.
-- ARGV: 1 tenant/upload, 2 upload, 3 its blob, 4 the least age (ms).
local since = call('ZSCORE', KEYS[3], ARGV[1])
if not since or tonumber(since) > now_ms() - ARGV[4] then return 0 end
call('ZREM', KEYS[3], ARGV[1])
return drop_upload(KEYS[1], KEYS[2], KEYS[5], KEYS[4], ARGV[2], ARGV[3])
