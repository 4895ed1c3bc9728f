#!lua flags=allow-oom
-- Takes those of the candidates that are still ready, in order, while their images fit.
-- KEYS: 1 leases, 2 expiries, then for each candidate: job, ready, queued, running.
-- ARGV: 1 lease (ms), 2 images at most, 3 worker, then for each candidate: tenant/job, job.
-- Answers {claims, expired, set aside because they cannot be read}; a claim is {token, attempt,
-- strikes, record, tenant/job, its ready index, its score there, its expiry or ''}, and what was set
-- aside {its ready index, tenant/job, reason}. A job that is set aside keeps its expiry.
local now, room = now_ms(), tonumber(ARGV[2])
local claims, expired, aside = {}, {}, {}

-- Why a ready job cannot be claimed; nil when it can.
local function find_ready_fault(known)
  if not known[1] and not known[4] and not known[5] then return 'missing' end
  if known[4] ~= 'queued' then return 'not-queued' end
  for index = 1, 3 do
    if not is_count(known[index]) then return 'incomplete' end
  end
  return find_fault(known[5])
end

for index = 0, (#KEYS - 2) / 4 - 1 do
  local job, ready = KEYS[3 + 4 * index], KEYS[4 + 4 * index]
  local member, id = ARGV[4 + 2 * index], ARGV[5 + 2 * index]
  if call('ZSCORE', ready, member) then
    local known = call('HMGET', job, 'images', 'token', 'attempts', 'state', 'record', 'strikes')
    local images = tonumber(known[1])
    local fault = find_ready_fault(known)
    local expiry = call('ZSCORE', KEYS[2], member)
    if fault then
      set_aside(ready, member, fault, fault ~= 'missing')
      if fault == 'missing' then -- there is nothing left that could expire or that waits
        call('ZREM', KEYS[2], member)
        call('ZREM', KEYS[5 + 4 * index], id)
      end
      aside[#aside + 1] = {ready, member, fault}
    elseif expiry and tonumber(expiry) <= now then
      expired[#expired + 1] = member
    elseif #claims > 0 and images > room then
      break
    else
      room = room - images
      local token = call('HINCRBY', job, 'token', 1)
      local attempt = call('HINCRBY', job, 'attempts', 1)
      call('HSET', job, 'state', 'running', 'worker', ARGV[3])
      call('HSETNX', job, 'started_at', now)
      call('ZADD', KEYS[1], now + tonumber(ARGV[1]), member)
      call('ZADD', KEYS[6 + 4 * index], 0, id)
      local age = call('ZSCORE', ready, member)
      call('ZREM', ready, member)
      call('ZREM', KEYS[2], member)
      call('ZREM', KEYS[5 + 4 * index], id)
      claims[#claims + 1] = {token, attempt, known[6] or '', known[5], member, ready, age, expiry or ''}
    end
  end
end
return {claims, expired, aside}
