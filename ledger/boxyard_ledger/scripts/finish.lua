#!lua flags=allow-oom
-- Ends a running job with a result. KEYS and ARGV[1..6]: see end_job.
-- ARGV: 7 token, 8 result reference, 9 images that succeeded, 10 that failed.
-- Answers 1 when this claim's result stands: also when it was recorded before and the answer lost.
if not holds(KEYS[1], ARGV[7]) then
  local known = call('HMGET', KEYS[1], 'state', 'token', 'result')
  return (known[1] == ARGV[3] and known[2] == ARGV[7] and known[3] == ARGV[8]) and 1 or 0
end
call('HSET', KEYS[1], 'result', ARGV[8], 'succeeded', ARGV[9], 'failed', ARGV[10])
return end_job()
