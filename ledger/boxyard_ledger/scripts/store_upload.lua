#!lua
-- Puts an upload on its tenant's books, before its blob is stored: one that no job names yet.
-- KEYS: 1 uploads, 2 their bytes, 3 loose uploads, 4 tenant's facts.
-- ARGV: 1 tenant/upload, 2 upload, 3 bytes, 4 bytes at most.
-- Answers 0 when the tenant has no room for it.
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return 1 end
local most = tonumber(redis.call('HGET', KEYS[4], 'stored_bytes') or ARGV[4])
if (tonumber(redis.call('GET', KEYS[2])) or 0) + ARGV[3] > most then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('INCRBY', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[3], now_ms(), ARGV[1])
return 1
