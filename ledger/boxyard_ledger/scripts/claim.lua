#!lua flags=allow-oom
-- Takes those of the candidates that are still ready, in order, while their images fit.
-- KEYS: 1 leases, 2 expiries, then for each candidate: job, ready, queued, running.
-- ARGV: 1 lease (ms), 2 images at most, 3 worker, then for each candidate: tenant/job, job.
-- Answers {claims, expired}; a claim is {token, attempt, strikes, record}.
local now, room = now_ms(), tonumber(ARGV[2])
local claims, expired = {}, {}
for index = 0, (#KEYS - 2) / 4 - 1 do
  local job, ready = KEYS[3 + 4 * index], KEYS[4 + 4 * index]
  local member, id = ARGV[4 + 2 * index], ARGV[5 + 2 * index]
  if redis.call('ZSCORE', ready, member) then
    local images = tonumber(redis.call('HGET', job, 'images'))
    local expiry = redis.call('ZSCORE', KEYS[2], member)
    if expiry and tonumber(expiry) <= now then
      expired[#expired + 1] = member
    elseif #claims > 0 and images > room then
      break
    else
      room = room - images
      local token = redis.call('HINCRBY', job, 'token', 1)
      local attempt = redis.call('HINCRBY', job, 'attempts', 1)
      redis.call('HSET', job, 'state', 'running', 'worker', ARGV[3])
      redis.call('HSETNX', job, 'started_at', now)
      redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), member)
      redis.call('ZADD', KEYS[6 + 4 * index], 0, id)
      redis.call('ZREM', ready, member)
      redis.call('ZREM', KEYS[2], member)
      redis.call('ZREM', KEYS[5 + 4 * index], id)
      local known = redis.call('HMGET', job, 'strikes', 'record')
      claims[#claims + 1] = {token, attempt, known[1] or '', known[2]}
    end
  end
end
return {claims, expired}
