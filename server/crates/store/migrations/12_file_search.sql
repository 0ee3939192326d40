-- Stores of documents that models search.
CREATE TABLE file_search_stores (
    number          INTEGER PRIMARY KEY,
    -- Whose it is: a hash of the client's key, and empty where there are no keys.
    owner           TEXT    NOT NULL,
    -- `abc` of `fileSearchStores/abc`.
    id              TEXT    NOT NULL,
    display_name    TEXT    NOT NULL,
    embedding_model TEXT    NOT NULL,
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    UNIQUE (owner, id)
) STRICT;

CREATE TABLE file_search_documents (
    number       INTEGER PRIMARY KEY,
    owner        TEXT    NOT NULL,
    -- The id of its store.
    store        TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    display_name TEXT    NOT NULL,
    mime_type    TEXT    NOT NULL,
    -- Size of the file that it was made of.
    file_bytes   INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    -- JSON of the client's metadata.
    metadata     TEXT    NOT NULL,
    -- Size of the chunks.
    bytes        INTEGER NOT NULL,
    -- JSON of the texts that are searched.
    chunks       TEXT    NOT NULL,
    UNIQUE (owner, store, id)
) STRICT;
