-- Retries, and what a part has cost.

ALTER TABLE job ADD COLUMN retry BLOB;          -- JSON; NULL is the default
ALTER TABLE job ADD COLUMN max_lost INTEGER;    -- NULL is the broker's setting
ALTER TABLE job ADD COLUMN origin INTEGER;      -- the number of the job it was made from

ALTER TABLE part ADD COLUMN due REAL;           -- when it may be given to an agent again
ALTER TABLE part ADD COLUMN past BLOB;          -- JSON: losses, and who refused it
ALTER TABLE part ADD COLUMN released INTEGER;   -- 1 if it was quarantined, and is no more

CREATE INDEX part_quarantine ON part (number)
    WHERE verdict = 'quarantined' AND released IS NULL;
