#!lua
-- Removes an idempotency key that stands for a job which is not there.
-- KEYS: 1 idempotency, 2 the job. ARGV: 1 job.
if call('EXISTS', KEYS[2]) == 0 and call('HGET', KEYS[1], 'job') == ARGV[1] then
  return call('DEL', KEYS[1])
end
return 0
