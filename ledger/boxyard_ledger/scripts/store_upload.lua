#!lua
-- Puts an upload on its tenant's books, before its blob is stored: one that no job names yet.
-- KEYS: 1 uploads, 2 their bytes, 3 loose uploads, 4 bytes of the tenant's records, 5 tenant's facts.
-- ARGV: 1 tenant/upload, 2 upload, 3 bytes, 4 bytes at most, 5 bytes of records at most.
-- Answers '', or the name of the bound that leaves no room for it.
if call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return '' end
local quota = call('HMGET', KEYS[5], 'stored_bytes', 'record_bytes')
local most = bound_of(quota[1], ARGV[4])
local total = total_bytes(KEYS[1], KEYS[2]) + ARGV[3]
if total > most then return 'stored-bytes' end
local _, known = read_bytes(KEYS[4])
if known + UPLOAD_RECORD > bound_of(quota[2], ARGV[5]) then return 'record-bytes' end
call('HSET', KEYS[1], ARGV[2], ARGV[3])
call('SET', KEYS[2], string.format('%.0f', total))
call('ZADD', KEYS[3], now_ms(), ARGV[1])
count_bytes(KEYS[4], 'uploads', UPLOAD_RECORD)
return ''
