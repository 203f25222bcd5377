PRAGMA application_id = 1785684594;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE agent (
    name TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL UNIQUE,
    incarnation TEXT NOT NULL,
    description BLOB NOT NULL,
    living INTEGER NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "agent" VALUES('a1',100,'abababababababababababababababab',X'7B7D',1,1.0);
INSERT INTO "agent" VALUES('a2',101,'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',X'7B7D',0,1.0);
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
INSERT INTO "broker" VALUES(1,1,100001,4,3,1,4,4);
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
INSERT INTO "event" VALUES(1,1003.5,'part.ended',1,NULL,1,'a1',X'7B226C697374223A5B312C6E756C6C2C22C3A9225D2C2278223A312E357D');
INSERT INTO "event" VALUES(2,1003.5,'part.ended',1,NULL,1,'a1',X'7B226C697374223A5B312C6E756C6C2C22C3A9225D2C2278223A312E357D');
INSERT INTO "event" VALUES(3,1003.5,'part.ended',5,NULL,1,'a1',X'7B226C697374223A5B312C6E756C6C2C22C3A9225D2C2278223A312E357D');
INSERT INTO "event" VALUES(4,1003.5,'part.ended',5,NULL,1,'a1',X'7B226C697374223A5B312C6E756C6C2C22C3A9225D2C2278223A312E357D');
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
INSERT INTO "job" VALUES(1,'default','1','c1','echo',-3,2,NULL,1.5,86400.25,1000.5,1002.0,X'00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF',1,NULL,X'7B2261223A20317D');
INSERT INTO "job" VALUES(5,'default','mine','c1','echo',-3,2,NULL,1.5,86400.25,1000.5,NULL,X'00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF',1,NULL,X'7B2261223A20317D');
INSERT INTO "job" VALUES(9,'default','9','c1','echo',-3,2,NULL,1.5,86400.25,1000.5,NULL,X'00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF',NULL,X'5B226131222C226132225D',X'7B2261223A20317D');
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
INSERT INTO "part" VALUES(2,1,0,NULL,'done',1,'a1','abababababababababababababababab',0,'succeeded',NULL,1002.0,1);
INSERT INTO "part" VALUES(6,5,0,NULL,'running',1,'a1','abababababababababababababababab',0,NULL,NULL,NULL,0);
INSERT INTO "part" VALUES(10,9,0,X'5B226131225D','queued',0,NULL,NULL,0,NULL,NULL,NULL,0);
INSERT INTO "part" VALUES(11,9,1,X'5B226132225D','done',0,'a1',NULL,0,'failed','it had to be',1002.0,0);
CREATE TABLE partial (
    part INTEGER NOT NULL REFERENCES part (number) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    frames BLOB NOT NULL,
    PRIMARY KEY (part, attempt, sequence)
) WITHOUT ROWID;
INSERT INTO "partial" VALUES(6,1,1,X'ECF5DA5391C4036F6E65');
INSERT INTO "partial" VALUES(6,1,2,X'8753D6C491C40374776F');
CREATE TABLE payload (
    job INTEGER PRIMARY KEY REFERENCES job (number) ON DELETE CASCADE,
    frames BLOB NOT NULL
);
INSERT INTO "payload" VALUES(1,X'D5F2A6A592C40170C40200FF');
INSERT INTO "payload" VALUES(5,X'FB00273C91C40170');
CREATE TABLE result (
    part INTEGER PRIMARY KEY REFERENCES part (number) ON DELETE CASCADE,
    frames BLOB NOT NULL
);
INSERT INTO "result" VALUES(2,X'150E461091C40172');
CREATE UNIQUE INDEX job_id ON job (id, namespace);
CREATE INDEX job_ended ON job (ended);
CREATE UNIQUE INDEX part_job ON part (job, place);
CREATE INDEX part_verdict ON part (verdict, job) WHERE verdict <> 'succeeded';
CREATE INDEX event_job ON event (job) WHERE job IS NOT NULL;
COMMIT;
