#!lua flags=allow-oom
-- Prolongs the leases of claims that hold. A lease that is over but that nobody took back is
-- prolonged too: the work is not lost yet.
-- KEYS: 1 leases, then each job. ARGV: 1 lease (ms), then for each job: tenant/job, token.
-- Answers the positions, from 0, of the claims that no longer hold.
local deadline, lost = now_ms() + tonumber(ARGV[1]), {}
for index = 0, #KEYS - 2 do
  if holds(KEYS[2 + index], ARGV[3 + 2 * index]) then
    call('ZADD', KEYS[1], deadline, ARGV[2 + 2 * index])
  else
    lost[#lost + 1] = index
  end
end
return lost
