#!lua flags=allow-oom
-- Reads what a list shows of jobs, in one answer: a client takes long to read thousands of small ones.
-- KEYS: the jobs.
-- ARGV: the fields to read.
-- Answers JSON: for each job its fields, in order, false for one that is not there, and at the end the
-- length of its record.
local rows = {}
for index, key in ipairs(KEYS) do
  local row = call('HMGET', key, unpack(ARGV))
  row[#ARGV + 1] = call('HSTRLEN', key, 'record')
  rows[index] = row
end
return cjson.encode(rows)
