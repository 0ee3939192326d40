-- How much of its owner's room an upload holds: what was announced, or a step more than what has come.
-- After a while in which nothing comes it is what has come.
ALTER TABLE uploads ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

UPDATE uploads SET held = coalesce(bytes, 0);
