-- An interaction as it was asked for. Everything that happened to it is in `events`.
CREATE TABLE interactions (
    -- Short, and counting up: the rows of `events` begin with it, so they are appended to the end of
    -- their tree instead of being strewn over it by the random id.
    number      INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    model       TEXT    NOT NULL,
    previous_id TEXT,
    created_ms  INTEGER NOT NULL,
    -- JSON, see record.rs
    input       TEXT    NOT NULL
) STRICT;

-- Append-only. Rows go when their interaction is deleted, and never change.
CREATE TABLE events (
    interaction INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    -- 1 for the event after which nothing follows.
    is_last     INTEGER NOT NULL,
    -- JSON, see record.rs
    record      TEXT    NOT NULL,
    PRIMARY KEY (interaction, number)
) STRICT, WITHOUT ROWID;

-- Which interactions need which blob. A blob that has no row here may be removed.
CREATE TABLE blob_uses (
    sha256      TEXT    NOT NULL,
    interaction INTEGER NOT NULL,
    PRIMARY KEY (sha256, interaction)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_uses_by_interaction ON blob_uses (interaction);
