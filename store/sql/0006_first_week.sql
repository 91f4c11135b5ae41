-- Schema 6: what a run left running at its end, and which prompt it was given.

-- Processes of the run that were still alive besides its child, and were ended; for an interrupted run all that were
-- ended. Null where nothing was started, and for runs of before schema 6.
ALTER TABLE runs ADD COLUMN processes_ended INTEGER;
-- SHA-256 of the prompt in UTF-8, in hexadecimal digits, where it was read from the job's prompt_file.
ALTER TABLE runs ADD COLUMN prompt_sha256 TEXT;
