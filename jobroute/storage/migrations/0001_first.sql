-- The first schema.
--
-- Rows that are read together and changed often are kept small; whatever can
-- be large stands last in its row or in a table of its own.

PRAGMA application_id = 0x6a6f6272;

-- The one row about the broker itself.  How much is stored is counted here, so
-- that nobody has to count ten million rows.
CREATE TABLE broker (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    numbers INTEGER NOT NULL,   -- the first number that was never in use
    event INTEGER NOT NULL,     -- the number of the latest event
    jobs INTEGER NOT NULL,
    ended INTEGER NOT NULL,     -- how many of the jobs have ended
    parts INTEGER NOT NULL,
    events INTEGER NOT NULL
);
INSERT INTO broker VALUES (1, 0, 1, 0, 0, 0, 0, 0);

CREATE TABLE agent (
    name TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL UNIQUE,
    incarnation TEXT NOT NULL,
    description BLOB NOT NULL,
    living INTEGER NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE job (
    number INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    client TEXT NOT NULL,
    service TEXT NOT NULL,
    priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    queue_limit REAL,
    run_limit REAL,
    deadline REAL NOT NULL,
    submitted REAL NOT NULL,
    ended REAL,                 -- NULL while a part has no verdict
    digest BLOB NOT NULL,
    count INTEGER,              -- of agents; NULL is all
    names BLOB,                 -- a JSON list; NULL is all that offer the service
    header BLOB NOT NULL
);
CREATE UNIQUE INDEX job_id ON job (id, namespace);
-- What has not ended stands at its beginning, the oldest ended job follows.
CREATE INDEX job_ended ON job (ended);

CREATE TABLE payload (
    job INTEGER PRIMARY KEY REFERENCES job (number) ON DELETE CASCADE,
    frames BLOB NOT NULL
);

CREATE TABLE part (
    number INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    names BLOB,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    agent TEXT,
    incarnation TEXT,
    cancelling INTEGER NOT NULL,
    verdict TEXT,
    reason TEXT,
    ended REAL,
    frames INTEGER NOT NULL     -- how many the result has
);
CREATE UNIQUE INDEX part_job ON part (job, place);
-- Only what is seldom, so that success costs nothing here.
CREATE INDEX part_verdict ON part (verdict, job) WHERE verdict <> 'succeeded';

CREATE TABLE result (
    part INTEGER PRIMARY KEY REFERENCES part (number) ON DELETE CASCADE,
    frames BLOB NOT NULL
);

CREATE TABLE partial (
    part INTEGER NOT NULL REFERENCES part (number) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    frames BLOB NOT NULL,
    PRIMARY KEY (part, attempt, sequence)
) WITHOUT ROWID;

CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    job INTEGER,
    part INTEGER,
    attempt INTEGER,
    agent TEXT,
    data BLOB                   -- JSON
);
CREATE INDEX event_job ON event (job) WHERE job IS NOT NULL;
