#!lua flags=allow-oom
-- Ends a running job whose attempts ran out. KEYS and ARGV[1..5]: see end_job.
-- ARGV: 6 token, 7 '1' when only a claim whose lease is over may be taken.
if not holds(KEYS[1], ARGV[6]) then return 0 end
if ARGV[7] == '1' and not is_over(KEYS[3], ARGV[1]) then return 0 end
return end_job()
