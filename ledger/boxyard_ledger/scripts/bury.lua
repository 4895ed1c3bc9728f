#!lua flags=allow-oom
-- Ends a running job whose attempts ran out. KEYS and ARGV[1..6]: see end_job.
-- ARGV: 7 token, 8 '1' when only a claim whose lease is over may be taken.
if not holds(KEYS[1], ARGV[7]) then return 0 end
if ARGV[8] == '1' and not is_over(KEYS[3], ARGV[1]) then return 0 end
return end_job()
