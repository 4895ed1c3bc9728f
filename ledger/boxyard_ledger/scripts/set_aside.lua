#!lua flags=allow-oom
-- Moves entries that nothing can be done with from an index to the quarantine.
-- KEYS: 1 index, then for each entry: the hash behind it, or the index again when there is none.
-- ARGV: for each entry: member, reason, what must still be so for it to be moved (it may have been
--   taken meanwhile): 'missing', that there is no hash; states within spaces, that the hash has none of
--   them; or ''.
-- Answers the numbers, from 0, of the entries that were moved.
local moved = {}
for number = 0, #KEYS - 2 do
  local hash, member = KEYS[2 + number], ARGV[3 * number + 1]
  local reason, condition = ARGV[3 * number + 2], ARGV[3 * number + 3]
  local has_data = hash ~= KEYS[1] and call('EXISTS', hash) == 1
  local stands = true
  if condition == 'missing' then
    stands = not has_data
  elseif condition ~= '' then
    local state = call('HGET', hash, 'state')
    stands = not (state and string.find(condition, ' ' .. state .. ' ', 1, true))
  end
  if stands and set_aside(KEYS[1], member, reason, has_data) == 1 then moved[#moved + 1] = number end
end
return moved
