-- How often servers have resumed an interaction and then ended without a shutdown. One that ends the
-- server each time would otherwise be resumed forever.
ALTER TABLE interactions ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0;
