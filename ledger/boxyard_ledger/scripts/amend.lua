#!lua
-- Changes a field of a hash if it still holds what was read.
-- KEYS: 1 hash.
-- ARGV: 1 field, 2 what was read, 3 what it shall hold.
-- Answers 1, or 0 when somebody else was faster.
if call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
