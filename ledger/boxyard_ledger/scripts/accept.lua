#!lua
-- Writes a job down and makes it ready, unless its idempotency key or its id is known, a bound is
-- reached, or it names an upload that the tenant has not. What is known comes first: a caller that
-- asks again must hear of its job, whatever the bounds are now. The rate comes last, for only a
-- job that is taken counts.
-- KEYS: 1 job, 2 ready, 3 expiries, 4 listed, 5 queued, 6 models, 7 idempotency, 8 tenant's facts,
--   9 submissions, 10 drained of the model, 11 drained of the tenant, 12 uploads,
--   13 loose uploads, 14..16 all the model's ready ones,
--   17 bytes of the tenant's records, then each upload's referents.
-- ARGV: 1 tenant/job, 2 job, 3 record, 4 images, 5 created (ms), 6 expires in (ms) or '',
--   7 model, 8 fingerprint or '', 9 digest of the idempotency key, 10 queued at most for a model,
--   11 for a tenant, 12 jobs a minute, 13 bytes of records of jobs that have not ended, 14 of all
--   records, 15 what lists show of the record, 16 deliveries that its end may bring at most, 17 bytes of
--   their records, 18 of their receivers' names, then for each upload: tenant/upload, upload.
-- Answers {accepted | twin | conflict, job}, {unknown-upload, upload} or {name of the bound,
-- seconds to wait}.
local MINUTE = 60000

-- A minute's jobs may come at once; then each has to wait for its share of the minute (GCRA).
-- Answers nil, or the seconds to wait.
local function count_submission(per_minute)
  local now, share = now_ms(), MINUTE / per_minute
  local known = finite(call('GET', KEYS[9])) or 0
  if not (known <= now + MINUTE) then known = now end -- the clock was set back, or it is no number
  local ahead = math.max(now, known) + share
  local early = ahead - now - MINUTE
  if early > 0 then return math.ceil(math.min(early, MINUTE) / 1000) end
  call('SET', KEYS[9], string.format('%.3f', ahead), 'PX', math.ceil(ahead - now))
end

if ARGV[8] ~= '' then
  local known = call('HMGET', KEYS[7], 'fingerprint', 'job')
  if known[1] and known[2] then
    return {known[1] == ARGV[8] and 'twin' or 'conflict', known[2]}
  end
end
if call('EXISTS', KEYS[1]) == 1 then return {'twin', ARGV[2]} end

local quota = call('HMGET', KEYS[8], 'queued_jobs', 'jobs_per_minute', 'queued_bytes',
  'record_bytes')
local for_model, for_tenant = tonumber(ARGV[10]), bound_of(quota[1], ARGV[11])
local waiting = 0
for index = 14, 16 do waiting = waiting + call('ZCARD', KEYS[index]) end
if waiting >= for_model then
  return {'queued-per-model', seconds_to_drain(KEYS[10], for_model)}
end
if call('ZCARD', KEYS[5]) >= for_tenant then
  return {'queued-per-tenant', seconds_to_drain(KEYS[11], for_tenant)}
end
local uploads = #KEYS - 17
local planned = delivery_bytes(ARGV[16], ARGV[17], ARGV[18])
local bytes = JOB + #ARGV[3] + #ARGV[15] + REFERENT * uploads + planned
if ARGV[8] ~= '' then bytes = bytes + IDEMPOTENCY end
local open, all = read_bytes(KEYS[17])
if open + bytes > bound_of(quota[3], ARGV[13]) then
  return {'queued-bytes', seconds_to_drain(KEYS[11], call('ZCARD', KEYS[5]))}
end
if all + bytes > bound_of(quota[4], ARGV[14]) then return {'record-bytes', 300} end
for index = 1, uploads do
  local upload = ARGV[18 + 2 * index]
  if call('HEXISTS', KEYS[12], upload) == 0 then return {'unknown-upload', upload} end
end
local early = count_submission(bound_of(quota[2], ARGV[12]))
if early then return {'jobs-per-minute', early} end

call('HSET', KEYS[1], 'record', ARGV[3], 'head', ARGV[15], 'state', 'queued', 'images', ARGV[4],
  'token', 0, 'attempts', 0, 'bytes', bytes, 'planned', planned)
count_bytes(KEYS[17], 'open', bytes)
call('ZADD', KEYS[2], ARGV[5], ARGV[1])
if ARGV[6] ~= '' then call('ZADD', KEYS[3], now_ms() + tonumber(ARGV[6]), ARGV[1]) end
call('ZADD', KEYS[4], 0, ARGV[2])
call('ZADD', KEYS[5], 0, ARGV[2])
call('SADD', KEYS[6], ARGV[7])
if ARGV[8] ~= '' then
  call('HSET', KEYS[7], 'fingerprint', ARGV[8], 'job', ARGV[2])
  call('HSET', KEYS[1], 'idempotency', ARGV[9])
end
for index = 1, uploads do
  call('SADD', KEYS[17 + index], ARGV[2])
  call('ZREM', KEYS[13], ARGV[17 + 2 * index])
end
return {'accepted', ARGV[2]}
