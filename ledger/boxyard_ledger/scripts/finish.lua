#!lua flags=allow-oom
-- Ends a running job with a result. KEYS and ARGV[1..5]: see end_job.
-- ARGV: 6 token, 7 result reference, 8 images that succeeded, 9 that failed.
-- Answers 1 when this claim's result stands: also when it was recorded before and the answer lost.
if not holds(KEYS[1], ARGV[6]) then
  local known = redis.call('HMGET', KEYS[1], 'state', 'token', 'result')
  return (known[1] == ARGV[3] and known[2] == ARGV[6] and known[3] == ARGV[7]) and 1 or 0
end
redis.call('HSET', KEYS[1], 'result', ARGV[7], 'succeeded', ARGV[8], 'failed', ARGV[9])
return end_job()
