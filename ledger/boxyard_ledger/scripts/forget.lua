#!lua flags=allow-oom
-- Removes every trace of a job that has ended.
-- KEYS: 1 job, 2 listed, 3 listed by its state, 4 ended, 5 its deliveries,
--   then each upload's referents, then for each delivery: record, log, pending.
-- ARGV: 1 tenant/job, 2 job, 3 state, 4 number of uploads, then each tenant/delivery.
if redis.call('HGET', KEYS[1], 'state') ~= ARGV[3] then return 0 end
redis.call('DEL', KEYS[1], KEYS[5])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('ZREM', KEYS[4], ARGV[1])
for index = 6, 5 + ARGV[4] do redis.call('SREM', KEYS[index], ARGV[2]) end
local first = 6 + ARGV[4]
for index = 0, (#KEYS - first + 1) / 3 - 1 do
  redis.call('DEL', KEYS[first + 3 * index], KEYS[first + 1 + 3 * index])
  redis.call('ZREM', KEYS[first + 2 + 3 * index], ARGV[5 + index])
end
return 1
