-- Estimated memory of a row once it is read, in bytes, so that a budget can be asked before it is. NULL in rows
-- from before.
ALTER TABLE interactions ADD COLUMN memory INTEGER;
ALTER TABLE events ADD COLUMN memory INTEGER;
