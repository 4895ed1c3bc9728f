#!lua
-- Runs one command, even if its key is of another type than the command needs: see `call`.
-- KEYS: 1 key. ARGV: the command, its key, and what follows.
return call(unpack(ARGV))
