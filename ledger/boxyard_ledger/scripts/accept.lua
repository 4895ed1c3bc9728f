#!lua
-- Writes a job down and makes it ready, unless its idempotency key or its id is known.
-- KEYS: 1 job, 2 ready, 3 expiries, 4 listed, 5 queued, 6 models, 7 idempotency,
--   then each upload's referents.
-- ARGV: 1 tenant/job, 2 job, 3 record, 4 images, 5 created (ms), 6 expires (ms) or '', 7 model,
--   8 fingerprint or '', 9 life of the idempotency key (ms).
-- Answers {accepted | twin | conflict, job}.
if ARGV[8] ~= '' then
  local known = redis.call('HMGET', KEYS[7], 'fingerprint', 'job')
  if known[1] then
    return {known[1] == ARGV[8] and 'twin' or 'conflict', known[2]}
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'twin', ARGV[2]} end
redis.call('HSET', KEYS[1], 'record', ARGV[3], 'state', 'queued', 'images', ARGV[4],
  'token', 0, 'attempts', 0)
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
if ARGV[6] ~= '' then redis.call('ZADD', KEYS[3], ARGV[6], ARGV[1]) end
redis.call('ZADD', KEYS[4], 0, ARGV[2])
redis.call('ZADD', KEYS[5], 0, ARGV[2])
redis.call('SADD', KEYS[6], ARGV[7])
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[7], 'fingerprint', ARGV[8], 'job', ARGV[2])
  redis.call('PEXPIRE', KEYS[7], ARGV[9])
end
for index = 8, #KEYS do redis.call('SADD', KEYS[index], ARGV[2]) end
return {'accepted', ARGV[2]}
