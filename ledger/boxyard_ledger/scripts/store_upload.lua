#!lua
-- Puts an upload on its tenant's books, before its blob is stored: one that no job names yet.
-- KEYS: 1 uploads, 2 their bytes, 3 loose uploads, 4 tenant's facts.
-- ARGV: 1 tenant/upload, 2 upload, 3 bytes, 4 bytes at most.
-- Answers 0 when the tenant has no room for it.
if call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return 1 end
local most = tonumber(call('HGET', KEYS[4], 'stored_bytes')) or tonumber(ARGV[4])
local total = total_bytes(KEYS[1], KEYS[2]) + ARGV[3]
if total > most then return 0 end
call('HSET', KEYS[1], ARGV[2], ARGV[3])
call('SET', KEYS[2], string.format('%.0f', total))
call('ZADD', KEYS[3], now_ms(), ARGV[1])
return 1
