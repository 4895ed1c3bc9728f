#!lua
-- Takes a place off the quarantine: what was moved there is put back or deleted.
-- KEYS: 1 quarantine, 2 the index or the key that it came from, if it was moved, 3 the renamed key, if
--   it is one.
-- ARGV: 1 'restore' or 'delete', 2 place, 3 member of the index, 4 its score there.
-- Answers 0 when the place was taken off already, or when the key that it came from is in use again.
local how, place, source, renamed = ARGV[1], ARGV[2], KEYS[2], KEYS[3]
if call('HEXISTS', KEYS[1], place) == 0 then return 0 end
if how == 'restore' and renamed and call('EXISTS', renamed) == 1 then
  if call('RENAMENX', renamed, source) == 0 then return 0 end
elseif how == 'restore' and source and not renamed then
  call('ZADD', source, 'NX', ARGV[4], ARGV[3])
elseif how == 'delete' and renamed then
  call('DEL', renamed)
end
call('HDEL', KEYS[1], place)
if call('EXISTS', KEYS[1]) == 0 then call('DEL', UNLISTED) end
return 1
