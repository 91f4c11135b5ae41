-- Schema 6: what a run left running at its end, and which prompt it was given.

-- Processes of the run that were still alive besides its child, and were ended; for an interrupted run all that were
-- ended. Null where nothing was started, and for runs of before schema 6.
ALTER TABLE runs ADD COLUMN processes_ended INTEGER;
-- SHA-256 of the job's prompt_file as it was read, in hexadecimal digits. Null for a job without one.
ALTER TABLE runs ADD COLUMN prompt_sha256 TEXT;
-- US dollars of the whole session, where the agent counts so, like its tokens.
ALTER TABLE sessions ADD COLUMN cost_usd REAL NOT NULL DEFAULT 0;

-- By job: the one whose output holds most of the disk gives first.
DROP INDEX runs_with_output;
CREATE INDEX runs_with_output ON runs (job_id, finished_at, run_id, output_bytes) WHERE output_dir IS NOT NULL;
-- Runs of dead schedulers, whose output was not measured at their end.
CREATE INDEX runs_unmeasured ON runs (finished_at)
WHERE output_dir IS NOT NULL AND finished_at IS NOT NULL AND output_bytes IS NULL;
