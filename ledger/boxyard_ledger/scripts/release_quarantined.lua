#!lua
-- Takes a place off the quarantine: what was moved there is put back or deleted.
-- KEYS: 1 quarantine, 2 the place, 3 the index or the key that it came from, or ''.
-- ARGV: 1 'restore' or 'delete', 2 member of the index or '', 3 its score there.
-- Answers 0 when the place was taken off already, or when the key that it came from is in use again.
if call('HEXISTS', KEYS[1], KEYS[2]) == 0 then return 0 end
if ARGV[1] == 'restore' and ARGV[2] ~= '' then
  call('ZADD', KEYS[3], 'NX', ARGV[3], ARGV[2])
elseif ARGV[1] == 'restore' and KEYS[3] ~= '' and call('EXISTS', KEYS[2]) == 1 then
  if call('RENAMENX', KEYS[2], KEYS[3]) == 0 then return 0 end
elseif ARGV[1] == 'delete' and KEYS[3] ~= '' and ARGV[2] == '' then
  call('DEL', KEYS[2])
end
call('HDEL', KEYS[1], KEYS[2])
return 1
