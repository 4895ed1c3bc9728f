#!lua flags=allow-oom
-- Ends a job that has not ended, and fences its claim out. KEYS and ARGV: see end_job.
local state = call('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'running' then return 0 end
call('HINCRBY', KEYS[1], 'token', 1)
return end_job()
