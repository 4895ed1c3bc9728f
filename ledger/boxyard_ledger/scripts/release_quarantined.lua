#!lua
-- Takes a place off the quarantine: what was moved there is put back or deleted.
-- KEYS: 1 quarantine, 2 the index or the key that it came from, if it was moved, 3 the renamed key, if
--   it is one.
-- ARGV: 1 'restore' or 'delete', 2 place, 3 member of the index, 4 its score there.
-- Answers 0 when the place was taken off already, when the key that it came from is in use again, or
-- when a renamed key still has the type that its former name cannot have.
local how, place, source, renamed = ARGV[1], ARGV[2], KEYS[2], KEYS[3]
local facts = call('HGET', KEYS[1], place)
if not facts then return 0 end
if how == 'restore' and renamed and call('EXISTS', renamed) == 1 then
  local parsed, known = pcall(cjson.decode, facts)
  if parsed and type(known) == 'table' and known.type == type_of(renamed) then return 0 end
  if call('RENAMENX', renamed, source) == 0 then return 0 end
elseif how == 'restore' and source and not renamed then
  call('ZADD', source, 'NX', ARGV[4], ARGV[3])
elseif how == 'delete' and renamed then
  call('DEL', renamed)
end
call('HDEL', KEYS[1], place)
if call('EXISTS', KEYS[1]) == 0 then call('DEL', UNLISTED) end
return 1
