-- Schema 6: what a run left running at its end, and which prompt it was given.

-- Processes of the run that were still alive after its child had ended, and were ended then. Null where nothing was
-- started, and for runs of before schema 6.
ALTER TABLE runs ADD COLUMN processes_ended INTEGER;
-- SHA-256 of the job's prompt_file as it was read, in hexadecimal digits. Null for a job without one.
ALTER TABLE runs ADD COLUMN prompt_sha256 TEXT;

-- By job: the one whose output holds most of the disk gives first.
DROP INDEX runs_with_output;
CREATE INDEX runs_with_output ON runs (job_id, finished_at, run_id, output_bytes) WHERE output_dir IS NOT NULL;
-- Runs of dead schedulers, whose output was not measured at their end.
CREATE INDEX runs_unmeasured ON runs (finished_at)
WHERE output_dir IS NOT NULL AND finished_at IS NOT NULL AND output_bytes IS NULL;
