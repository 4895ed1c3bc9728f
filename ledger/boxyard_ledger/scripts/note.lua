#!lua
-- Lists a place that could not be read and stays as it is.
-- KEYS: 1 quarantine. ARGV: 1 place, 2 reason.
-- Answers 1 when the list has grown.
return quarantine(ARGV[1], {reason = ARGV[2]})
