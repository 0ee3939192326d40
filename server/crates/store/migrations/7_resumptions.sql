-- A resumption counts whatever was written since: a model that writes something else each time could
-- otherwise end the server forever.
ALTER TABLE interactions DROP COLUMN resumed_at;
