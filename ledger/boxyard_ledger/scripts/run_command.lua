#!lua
-- Runs one command, even if its key is of another type than the command needs: see `call`.
-- ARGV: the command, its key, and what follows. The key stands here and not in KEYS, for it may be one
-- that the role may only read.
return call(unpack(ARGV))
