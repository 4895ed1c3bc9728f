-- Shared by the scripts; it stands before each one's body.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A claim holds while the job runs and nobody raised the token.
local function holds(job, token)
  local known = redis.call('HMGET', job, 'state', 'token')
  return known[1] == 'running' and known[2] == token
end

-- Whether a lease (a member of the sorted set `leases`) is over.
local function is_over(leases, member)
  local deadline = redis.call('ZSCORE', leases, member)
  return not deadline or tonumber(deadline) <= now_ms()
end

-- Puts a receiver that nobody holds where deliverers look: when its earliest delivery is due, and
-- behind the receivers that are due already, so that a long backlog keeps nobody waiting.
local function offer(receivers, pending, receiver)
  local first = redis.call('ZRANGE', pending, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', receivers, math.max(tonumber(first[2]), now_ms()), receiver)
  else
    redis.call('ZREM', receivers, receiver)
  end
end

-- Has a blob erased, or all whose names begin so (then it ends in '/'): now, and once more when
-- no worker that was fenced out can still be writing it.
local function erase(erasures, blob)
  local now, hour = now_ms(), 3600000
  redis.call('ZADD', erasures, now, 'first ' .. blob)
  redis.call('ZADD', erasures, now + hour, 'again ' .. blob)
end

-- Strikes an upload off a tenant's books; 0 when it is not there.
local function drop_upload(uploads, stored, erasures, upload, blob)
  local bytes = redis.call('HGET', uploads, upload)
  if not bytes then return 0 end
  redis.call('HDEL', uploads, upload)
  if redis.call('DECRBY', stored, bytes) <= 0 then redis.call('DEL', stored) end
  erase(erasures, blob)
  return 1
end

local WINDOW, WINDOWS = 10000, 6

-- Counts a job that ended, in the window of now; a minute later that window is forgotten.
local function count_drained(drained)
  local window = math.floor(now_ms() / WINDOW)
  if redis.call('HINCRBY', drained, window, 1) == 1 then
    for _, old in ipairs(redis.call('HKEYS', drained)) do
      if tonumber(old) < window - WINDOWS then redis.call('HDEL', drained, old) end
    end
  end
  redis.call('PEXPIRE', drained, WINDOW * (WINDOWS + 1))
end

-- How long a queue at its bound takes to drain by a twentieth, in seconds, as it did in the last
-- minute: room for many, so that those who wait do not come back one by one.
local function seconds_to_drain(drained, bound)
  local counts, now = redis.call('HGETALL', drained), now_ms()
  local ended, since = 0, now
  for index = 1, #counts, 2 do
    local start = tonumber(counts[index]) * WINDOW
    if start > now - WINDOW * (WINDOWS + 1) then
      ended, since = ended + tonumber(counts[index + 1]), math.min(since, start)
    end
  end
  if ended == 0 then return 30 end
  local wait = bound / 20 * math.max(now - since, 1000) / ended / 1000
  return math.max(1, math.min(300, math.ceil(wait)))
end

-- Ends the job of this call: state, indexes, outbox and news in one.
-- KEYS: 1 job, 2 ready, 3 leases, 4 expiries, 5 queued, 6 running, 7 listed by the new state,
--   8 ended, 9 the job's deliveries, 10 receivers, 11 receivers' leases, 12 erasures,
--   13 drained of the model, 14 drained of the tenant,
--   then for each delivery: its record, its receiver's pending ones.
-- ARGV: 1 tenant/job, 2 job, 3 state, 4 reason, 5 channel, 6 what its results' blobs begin with,
--   … and last, for each delivery: tenant/delivery, receiver, record.
local function end_job()
  local member, id, now = ARGV[1], ARGV[2], now_ms()
  redis.call('HSET', KEYS[1], 'state', ARGV[3], 'reason', ARGV[4], 'finished_at', now)
  redis.call('ZADD', KEYS[7], 0, id)
  redis.call('ZADD', KEYS[8], now, member)
  for index = 2, 4 do redis.call('ZREM', KEYS[index], member) end
  for index = 5, 6 do redis.call('ZREM', KEYS[index], id) end
  -- Only a job whose token went past the first may have results that were not recorded.
  if tonumber(redis.call('HGET', KEYS[1], 'token')) > 1 then erase(KEYS[12], ARGV[6]) end
  for index = 13, 14 do count_drained(KEYS[index]) end
  local deliveries = (#KEYS - 14) / 2
  for index = 0, deliveries - 1 do
    local record, pending = KEYS[15 + 2 * index], KEYS[16 + 2 * index]
    local first = #ARGV - 3 * (deliveries - index) + 1
    local delivery, receiver = ARGV[first], ARGV[first + 1]
    redis.call('HSET', record, 'record', ARGV[first + 2], 'receiver', receiver,
      'state', 'pending', 'token', 0, 'attempts', 0)
    redis.call('RPUSH', KEYS[9], delivery)
    redis.call('ZADD', pending, now, delivery)
    if not redis.call('ZSCORE', KEYS[11], receiver) then
      redis.call('ZADD', KEYS[10], 'LT', now, receiver)
    end
  end
  redis.call('PUBLISH', ARGV[5], member)
  return 1
end
