-- Schema 4: a ledger of a million runs is asked for what failed, and how much output there is, without reading it all.

-- Runs that ended well are most of the rows, and their newest are found at once. Written as one OR: SQLite uses it for a
-- statement that names one of these in its text.
CREATE INDEX runs_not_ok ON runs (status, started_at, run_id)
WHERE status = 'error' OR status = 'cancelled' OR status = 'interrupted' OR status = 'skipped' OR status = 'missed';

-- With the size in it, the room that all output takes is summed from the index alone.
DROP INDEX runs_with_output;
CREATE INDEX runs_with_output ON runs (finished_at, run_id, output_bytes) WHERE output_dir IS NOT NULL;

-- How many hold a place under the cap, which each claim asks, is counted from indexes alone: all that run, less those
-- that wait between attempts. The status in the key changes nothing about what is unique.
DROP INDEX runs_running;
CREATE UNIQUE INDEX runs_running ON runs (job_id, target, status) WHERE status = 'running';
CREATE INDEX runs_waiting ON runs (waiting) WHERE waiting = 1;
