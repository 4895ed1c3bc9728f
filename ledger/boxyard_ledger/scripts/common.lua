-- Shared by the scripts; it stands before each one's body.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number that stands in Redis, or nil: there may be anything, `nan` and `inf` too.
local function finite(text)
  local number = tonumber(text or nil)
  return number and math.abs(number) < 1e15 and number or nil
end

-- A tenant's own bound, or what the settings give to all.
local function bound_of(text, otherwise)
  local number = finite(text)
  return number and number >= 0 and number or tonumber(otherwise)
end

local QUARANTINE, UNLISTED, MOST_LISTED = 'boxyard:quarantine', 'boxyard:quarantine:unlisted', 10000

-- Lists for the operator what could not be read; the first entry of a place stands. Once the list is
-- full, a place that has no data to restore is only counted. Answers 1 when the list has grown.
local function quarantine(place, facts, has_data)
  local listed = redis.pcall('HLEN', QUARANTINE)
  if type(listed) ~= 'number' then -- it is itself of a wrong type
    local away = string.format('%s:%.0f:%s', QUARANTINE, now_ms(), QUARANTINE)
    redis.pcall('RENAME', QUARANTINE, away)
    listed = 0
  end
  local full = listed >= MOST_LISTED
  if full and not has_data and redis.pcall('HEXISTS', QUARANTINE, place) == 0 then
    if type(redis.pcall('INCR', UNLISTED)) ~= 'number' then redis.pcall('SET', UNLISTED, 1) end
    return 0
  end
  facts.at = now_ms()
  return redis.pcall('HSETNX', QUARANTINE, place, cjson.encode(facts))
end

-- The type of a key, as far as it matters here: the first command that can count what the key holds.
-- (A role may not run TYPE.)
local function type_of(key)
  for _, count in ipairs({'HLEN', 'ZCARD', 'LLEN', 'SCARD', 'STRLEN'}) do
    if type(redis.pcall(count, key)) == 'number' then return count end
  end
  return 'other'
end

-- Runs a command. A key of another type than the command needs holds nothing that any process could
-- use: it is renamed, so that it fails no later command, and the command runs as if it were not there.
-- RENAME fails only where the role may do no more than read the key: then the key stays.
local function call(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if key and string.find(answer.err, '^%-?WRONGTYPE') then
    local place = string.format('%s:%.0f:%s', QUARANTINE, now_ms(), key)
    local renamed = redis.pcall('RENAME', key, place)
    if not renamed.err then
      quarantine(place, {reason = 'wrong-type', key = key, type = type_of(place)}, true)
      return redis.call(command, key, ...)
    end
    quarantine(key, {reason = 'wrong-type'})
    return redis.call(command, place, ...) -- nothing has this name
  end
  error(answer)
end

-- Moves an entry from an index to the quarantine; 0 when it is no longer in the index. `has_data`:
-- whether the entry names a record that is there.
local function set_aside(index, member, reason, has_data)
  local score = call('ZSCORE', index, member)
  if not score then return 0 end
  call('ZREM', index, member)
  local facts = {reason = reason, index = index, member = member, score = score}
  quarantine(index .. ' ' .. member, facts, has_data)
  return 1
end

-- Whether a field holds a count that HINCRBY can raise: it refuses leading zeros.
local function is_count(text)
  return text == '0' or text and string.find(text, '^[1-9]%d*$') and #text < 16
end

-- Why a record cannot be used, or nil. What we write begins with its version; whatever else is valid
-- JSON is parsed.
local function find_fault(record)
  if not record then return 'incomplete' end
  if string.sub(record, 1, 13) == '{"version":1,' then return nil end
  local parsed, value = pcall(cjson.decode, record)
  if not parsed or type(value) ~= 'table' then return 'unreadable' end
  local version = value.version
  if version == nil or version == 1 then return nil end
  if type(version) == 'number' and version > 1 then
    return string.format('version-%.0f', version)
  end
  return 'unreadable'
end

-- A claim holds while the job runs and nobody raised the token.
local function holds(job, token)
  local known = call('HMGET', job, 'state', 'token')
  return known[1] == 'running' and known[2] == token
end

-- Whether a lease (a member of the sorted set `leases`) is over.
local function is_over(leases, member)
  local deadline = call('ZSCORE', leases, member)
  return not deadline or tonumber(deadline) <= now_ms()
end

-- Puts a receiver that nobody holds where deliverers look: when its earliest delivery is due, and
-- behind the receivers that are due already, so that a long backlog keeps nobody waiting.
local function offer(receivers, pending, receiver)
  local first = call('ZRANGE', pending, 0, 0, 'WITHSCORES')
  if first[2] then
    call('ZADD', receivers, math.max(tonumber(first[2]), now_ms()), receiver)
  else
    call('ZREM', receivers, receiver)
  end
end

-- Counts bytes of a tenant's records. Fields of `books`: `open` jobs, `ended` ones, `uploads`.
local function count_bytes(books, field, bytes)
  local now = (finite(call('HGET', books, field)) or 0) + (finite(bytes) or 0)
  if now > 0 then
    call('HSET', books, field, string.format('%.0f', now))
  else
    call('HDEL', books, field)
  end
end

-- The bytes of a tenant's records: of jobs that have not ended, and of all.
local function read_bytes(books)
  local known = call('HMGET', books, 'open', 'ended', 'uploads')
  local open = finite(known[1]) or 0
  return open, open + (finite(known[2]) or 0) + (finite(known[3]) or 0)
end

-- What these take in Redis beside their own texts, about: an upload in the indexes; a job in its hash
-- and the indexes; its idempotency key; an upload that it names; a delivery in its hash, its log, and
-- the indexes.
local UPLOAD_RECORD, JOB, IDEMPOTENCY, REFERENT, DELIVERY = 256, 1024, 384, 192, 1536

-- What deliveries take: their records, and their receivers' names, which are in the hash, in names of
-- keys and in indexes.
local function delivery_bytes(count, records, receivers)
  return DELIVERY * count + records + 5 * receivers
end

-- Has a blob erased, or all whose names begin so (then it ends in '/'): now, and once more when
-- no worker that was fenced out can still be writing it.
local function erase(erasures, blob)
  local now, hour = now_ms(), 3600000
  call('ZADD', erasures, now, 'first ' .. blob)
  call('ZADD', erasures, now + hour, 'again ' .. blob)
end

-- The bytes of a tenant's uploads together; added up anew when the sum cannot be read.
local function total_bytes(uploads, stored)
  local known = call('GET', stored)
  if not known or finite(known) then return finite(known) or 0 end
  local total = 0
  for _, bytes in ipairs(call('HVALS', uploads)) do total = total + (finite(bytes) or 0) end
  return total
end

-- Strikes an upload off a tenant's books; 0 when it is not there.
local function drop_upload(uploads, stored, erasures, books, upload, blob)
  local bytes = call('HGET', uploads, upload)
  if not bytes then return 0 end
  local total = total_bytes(uploads, stored)
  call('HDEL', uploads, upload)
  local left = total - (finite(bytes) or 0)
  if left <= 0 then call('DEL', stored) else call('SET', stored, string.format('%.0f', left)) end
  count_bytes(books, 'uploads', -UPLOAD_RECORD)
  erase(erasures, blob)
  return 1
end

local WINDOW, WINDOWS = 10000, 6

-- Counts a job that ended, in the window of now; a minute later that window is forgotten.
local function count_drained(drained)
  local window = math.floor(now_ms() / WINDOW)
  local count = (finite(call('HGET', drained, window)) or 0) + 1
  call('HSET', drained, window, count)
  if count == 1 then
    for _, old in ipairs(call('HKEYS', drained)) do
      if (finite(old) or 0) < window - WINDOWS then call('HDEL', drained, old) end
    end
  end
  call('PEXPIRE', drained, WINDOW * (WINDOWS + 1))
end

-- How long a queue at its bound takes to drain by a twentieth, in seconds, as it did in the last
-- minute: room for many, so that those who wait do not come back one by one.
local function seconds_to_drain(drained, bound)
  local counts, now = call('HGETALL', drained), now_ms()
  local ended, since = 0, now
  for index = 1, #counts, 2 do
    local start, count = (finite(counts[index]) or 0) * WINDOW, finite(counts[index + 1]) or 0
    if count > 0 and start > now - WINDOW * (WINDOWS + 1) then
      ended, since = ended + count, math.min(since, start)
    end
  end
  if ended == 0 then return 30 end
  local wait = bound / 20 * math.max(now - since, 1000) / ended / 1000
  return math.max(1, math.min(300, math.ceil(wait)))
end

-- Ends the job of this call: state, indexes, outbox and news in one.
-- KEYS: 1 job, 2 ready, 3 leases, 4 expiries, 5 queued, 6 running, 7 listed by the new state,
--   8 ended, 9 the job's deliveries, 10 receivers, 11 receivers' leases, 12 erasures,
--   13 drained of the model, 14 drained of the tenant, 15 bytes of the tenant's records,
--   then for each delivery: its record, its receiver's pending ones.
-- ARGV: 1 tenant/job, 2 job, 3 state, 4 reason, 5 channel, 6 what its results' blobs begin with,
--   … and last, for each delivery: tenant/delivery, receiver, record.
-- The deliveries that were counted when the job was accepted give way to those that are written.
local function end_job()
  local member, id, now = ARGV[1], ARGV[2], now_ms()
  call('HSET', KEYS[1], 'state', ARGV[3], 'reason', ARGV[4], 'finished_at', now)
  call('ZADD', KEYS[7], 0, id)
  call('ZADD', KEYS[8], now, member)
  for index = 2, 4 do
    call('ZREM', KEYS[index], member)
    redis.pcall('HDEL', QUARANTINE, KEYS[index] .. ' ' .. member) -- there is nothing left to restore
  end
  for index = 5, 6 do call('ZREM', KEYS[index], id) end
  -- Only a job whose token went past the first may have results that were not recorded.
  if (tonumber(call('HGET', KEYS[1], 'token')) or 2) > 1 then erase(KEYS[12], ARGV[6]) end
  for index = 13, 14 do count_drained(KEYS[index]) end
  local known = call('HMGET', KEYS[1], 'bytes', 'planned')
  local bytes, written = finite(known[1]) or 0, 0
  local deliveries = (#KEYS - 15) / 2
  for index = 0, deliveries - 1 do
    local record, pending = KEYS[16 + 2 * index], KEYS[17 + 2 * index]
    local first = #ARGV - 3 * (deliveries - index) + 1
    local delivery, receiver = ARGV[first], ARGV[first + 1]
    call('HSET', record, 'record', ARGV[first + 2], 'receiver', receiver,
      'state', 'pending', 'token', 0, 'attempts', 0)
    call('RPUSH', KEYS[9], delivery)
    call('ZADD', pending, now, delivery)
    written = written + delivery_bytes(1, #ARGV[first + 2], #receiver)
    if not call('ZSCORE', KEYS[11], receiver) then
      call('ZADD', KEYS[10], 'LT', now, receiver)
    end
  end
  count_bytes(KEYS[15], 'open', -bytes)
  bytes = math.max(0, bytes - (finite(known[2]) or 0) + written)
  count_bytes(KEYS[15], 'ended', bytes)
  call('HSET', KEYS[1], 'bytes', bytes, 'planned', 0)
  call('PUBLISH', ARGV[5], member)
  return 1
end
