-- How often servers have resumed an interaction since its log had `resumed_at` rows of events. One
-- that ends the server each time would otherwise be resumed forever.
ALTER TABLE interactions ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interactions ADD COLUMN resumed_at INTEGER NOT NULL DEFAULT 0;
