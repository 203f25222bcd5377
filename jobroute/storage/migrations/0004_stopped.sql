-- Agents that operators have drained, and services that they have paused.

CREATE TABLE stopped (
    what TEXT NOT NULL CHECK (what IN ('agent', 'service')),
    name TEXT NOT NULL,
    PRIMARY KEY (what, name)
) STRICT, WITHOUT ROWID;
