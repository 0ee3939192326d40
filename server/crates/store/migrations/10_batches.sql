-- Many requests that a client sent at once, and that run in the background.
CREATE TABLE batches (
    number         INTEGER PRIMARY KEY,
    -- Whose it is: a hash of the client's key, and empty where there are no keys.
    owner          TEXT    NOT NULL,
    -- `abc` of `batches/abc`, unique for all owners.
    id             TEXT    NOT NULL UNIQUE,
    namespace      TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    display_name   TEXT    NOT NULL,
    -- Whether the requests came in a file; then the results are one too.
    is_file        INTEGER NOT NULL,
    -- `creating` until all requests are stored.
    state          TEXT    NOT NULL,
    created_ms     INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,
    ended_ms       INTEGER,
    requests       INTEGER NOT NULL,
    succeeded      INTEGER NOT NULL DEFAULT 0,
    failed         INTEGER NOT NULL DEFAULT 0,
    request_bytes  INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL DEFAULT 0,
    -- How many servers have run it and ended without a shutdown.
    starts         INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX batches_by_owner ON batches (owner, id);

CREATE TABLE batch_requests (
    batch    TEXT    NOT NULL,
    -- From 0, in the client's order.
    line     INTEGER NOT NULL,
    -- JSON that the client gave the request, to recognise its result.
    key      TEXT,
    request  TEXT    NOT NULL,
    -- JSON of the result; NULL until there is one.
    response TEXT,
    PRIMARY KEY (batch, line)
) STRICT;
