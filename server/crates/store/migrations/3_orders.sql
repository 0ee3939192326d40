-- What an interaction in the background was told, so that another server can go on with it: JSON,
-- see engine/orders.rs. NULL for all that somebody waits for.
ALTER TABLE interactions ADD COLUMN orders TEXT;
