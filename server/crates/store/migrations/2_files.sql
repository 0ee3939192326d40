-- A file that a client sent ahead of its requests. Its bytes are a blob.
CREATE TABLE files (
    -- Whose it is: a hash of the client's key, and empty where there are no keys.
    owner        TEXT    NOT NULL,
    -- `abc` of `files/abc`. Each owner has names of its own.
    id           TEXT    NOT NULL,
    display_name TEXT,
    mime_type    TEXT    NOT NULL,
    bytes        INTEGER NOT NULL,
    sha256       TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    -- How it came, so that a client which missed the last answer may ask for it again.
    upload       TEXT    NOT NULL UNIQUE,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX files_by_sha256 ON files (sha256);
CREATE INDEX files_by_expiry ON files (expires_ms);

-- A file that is still coming. What is there of it lies in the folder `uploads`.
CREATE TABLE uploads (
    id           TEXT    NOT NULL PRIMARY KEY,
    owner        TEXT    NOT NULL,
    file         TEXT    NOT NULL,
    display_name TEXT,
    mime_type    TEXT    NOT NULL,
    -- As the client said it would be; NULL where it did not say.
    bytes        INTEGER,
    begun_ms     INTEGER NOT NULL,
    UNIQUE (owner, file)
) STRICT, WITHOUT ROWID;
