-- Whose an interaction is, as in `files`: a hash of the client's key, and empty where there are no keys
-- or where all keys share everything. Rows from before belong to the empty owner, so no single key can
-- read them; those in the background had their owner among their orders.
ALTER TABLE interactions ADD COLUMN owner TEXT NOT NULL DEFAULT '';

UPDATE interactions SET owner = coalesce(json_extract(orders, '$.owner'), '')
WHERE json_valid(orders);
