-- The beginning of conversations, which a client stored once and names in its requests.
CREATE TABLE cached_contents (
    number       INTEGER PRIMARY KEY,
    -- Whose it is: a hash of the client's key, and empty where there are no keys.
    owner        TEXT    NOT NULL,
    -- `abc` of `cachedContents/abc`.
    id           TEXT    NOT NULL,
    model        TEXT    NOT NULL,
    display_name TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    -- JSON of the number of tokens by modality.
    tokens       TEXT    NOT NULL,
    -- Memory of the content, once it is read.
    bytes        INTEGER NOT NULL,
    -- JSON of the contents, the instruction and the tools.
    content      TEXT    NOT NULL,
    UNIQUE (owner, id)
) STRICT;

CREATE INDEX cached_contents_by_expiry ON cached_contents (expires_ms);
