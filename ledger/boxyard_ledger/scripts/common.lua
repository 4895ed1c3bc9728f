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

-- Ends the job of this call: state, indexes, outbox and news in one.
-- KEYS: 1 job, 2 ready, 3 leases, 4 expiries, 5 queued, 6 running, 7 listed by the new state,
--   8 ended, 9 the job's deliveries, 10 receivers, 11 receivers' leases,
--   then for each delivery: its record, its receiver's pending ones.
-- ARGV: 1 tenant/job, 2 job, 3 state, 4 reason, 5 channel, … and last, for each delivery:
--   tenant/delivery, receiver, record.
local function end_job()
  local member, id, now = ARGV[1], ARGV[2], now_ms()
  redis.call('HSET', KEYS[1], 'state', ARGV[3], 'reason', ARGV[4], 'finished_at', now)
  redis.call('ZADD', KEYS[7], 0, id)
  redis.call('ZADD', KEYS[8], now, member)
  for index = 2, 4 do redis.call('ZREM', KEYS[index], member) end
  for index = 5, 6 do redis.call('ZREM', KEYS[index], id) end
  local deliveries = (#KEYS - 11) / 2
  for index = 0, deliveries - 1 do
    local record, pending = KEYS[12 + 2 * index], KEYS[13 + 2 * index]
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
