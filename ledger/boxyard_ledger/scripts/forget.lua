#!lua flags=allow-oom
-- Removes every trace of a job that has ended, and has its blobs erased: those of its results, and
-- the uploads that no other job names.
-- KEYS: 1 job, 2 listed, 3 listed by its state, 4 ended, 5 its deliveries, 6 idempotency,
--   7 erasures, 8 uploads, 9 their bytes, 10 exhausted deliveries,
--   11 bytes of the tenant's records, then each upload's referents,
--   then for each delivery: record, log, pending.
-- ARGV: 1 tenant/job, 2 job, 3 state, 4 what its results' blobs begin with, 5 number of uploads,
--   then for each upload: its id, its blob; then each tenant/delivery.
-- Answers the blobs; none when the job has not ended, or not so.
local uploads, blobs = tonumber(ARGV[5]), {ARGV[4]}
local deliveries = (#KEYS - 11 - uploads) / 3
if call('HGET', KEYS[1], 'state') ~= ARGV[3] then return {} end
if not call('ZSCORE', KEYS[4], ARGV[1]) then return {} end
if call('LLEN', KEYS[5]) ~= deliveries then return {} end
count_bytes(KEYS[11], 'ended', -(finite(call('HGET', KEYS[1], 'bytes')) or 0))
call('DEL', KEYS[1], KEYS[5], KEYS[6])
call('ZREM', KEYS[2], ARGV[2])
call('ZREM', KEYS[3], ARGV[2])
call('ZREM', KEYS[4], ARGV[1])
-- A job whose record was lost took along how much of this was its.
if call('EXISTS', KEYS[2]) == 0 then call('HDEL', KEYS[11], 'open', 'ended') end
erase(KEYS[7], ARGV[4])
for index = 1, uploads do
  local referents, blob = KEYS[11 + index], ARGV[5 + 2 * index]
  call('SREM', referents, ARGV[2])
  if call('EXISTS', referents) == 0 then
    drop_upload(KEYS[8], KEYS[9], KEYS[7], KEYS[11], ARGV[4 + 2 * index], blob)
    blobs[#blobs + 1] = blob
  end
end
for index = 1, deliveries do
  local delivery, record = ARGV[5 + 2 * uploads + index], 9 + uploads + 3 * index
  call('DEL', KEYS[record], KEYS[record + 1])
  call('ZREM', KEYS[record + 2], delivery)
  call('ZREM', KEYS[10], delivery)
end
return blobs
