-- The method of the requests of a batch.
ALTER TABLE batches ADD COLUMN method TEXT NOT NULL DEFAULT 'generate_content';
