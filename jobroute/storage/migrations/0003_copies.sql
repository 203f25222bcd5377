-- Copies of a store, and stores that are closed.
--
-- From here on a store that was closed well has no write-ahead log, and says
-- so in its header; see jobroute.storage.logs.

ALTER TABLE broker ADD COLUMN copied REAL;      -- when it was copied; NULL if it is no copy
