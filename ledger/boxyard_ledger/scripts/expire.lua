#!lua flags=allow-oom
-- Ends a job that was not started in time; a claim takes a job's expiry away.
-- KEYS and ARGV: see end_job.
local expiry = call('ZSCORE', KEYS[4], ARGV[1])
if not expiry or tonumber(expiry) > now_ms() then return 0 end
return end_job()
