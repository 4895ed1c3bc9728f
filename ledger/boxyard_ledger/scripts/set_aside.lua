#!lua flags=allow-oom
-- Moves entries that nothing can be done with from an index to the quarantine.
-- KEYS: 1 index, then for each entry: the hash behind it, or '' when there is none to look at.
-- ARGV: for each entry: member, reason, the states of the hash that the index is for, each within spaces, or ''.
-- `missing` and `not-…` must still be so: the entry may have been taken meanwhile.
-- Answers how many were moved.
local moved = 0
for index = 1, #KEYS - 1 do
  local hash, member = KEYS[1 + index], ARGV[3 * index - 2]
  local reason, states = ARGV[3 * index - 1], ARGV[3 * index]
  local stands = true
  if hash ~= '' then
    local state = call('HGET', hash, 'state')
    if reason == 'missing' then
      stands = call('EXISTS', hash) == 0
    elseif states ~= '' then
      stands = not (state and string.find(states, ' ' .. state .. ' ', 1, true))
    end
  end
  if stands then moved = moved + set_aside(KEYS[1], member, reason) end
end
return moved
