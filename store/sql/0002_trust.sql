-- Schema 2: cancelling, retries of interrupted runs, counters of failures, retention, ceilings that no clock moves.

ALTER TABLE jobs ADD COLUMN consecutive_failures INTEGER NOT NULL DEFAULT 0;  -- reset by a success
ALTER TABLE jobs ADD COLUMN paused_at TEXT;       -- since when pause_after_failures holds it; null when it does not
ALTER TABLE jobs ADD COLUMN pruned_through TEXT;  -- the newest slot whose row retention has deleted: none up to it starts again

-- A CHECK can't be altered in place: the table is made anew.
CREATE TABLE runs_2 (
    run_id              TEXT PRIMARY KEY NOT NULL,
    job_id              TEXT NOT NULL,
    started_at          TEXT NOT NULL,
    finished_at         TEXT,
    status              TEXT NOT NULL CHECK (
        status IN ('running', 'ok', 'error', 'cancelled', 'interrupted', 'skipped', 'missed')),
    result_json         TEXT,
    error_json          TEXT,          -- for skipped, missed, cancelled and interrupted: the reason
    target              TEXT NOT NULL,
    scheduled_for       TEXT,          -- the slot; null for run-now, and for the retry of an interrupted run
    trigger             TEXT NOT NULL CHECK (trigger IN ('schedule', 'catch_up', 'manual', 'retry')),
    attempt             INTEGER NOT NULL DEFAULT 0,
    slots               INTEGER NOT NULL DEFAULT 1,  -- how many slots this row accounts for; 0 for run-now and retries
    waiting             INTEGER NOT NULL DEFAULT 0 CHECK (waiting IN (0, 1)),  -- between attempts: holds no place under the cap
    lease_token         TEXT,
    lease_owner         TEXT,
    lease_expires_at    TEXT,
    ceiling_monotonic   REAL,          -- seconds of the machine's monotonic clock that no run of this job may live beyond
    owner_pid           INTEGER,
    owner_started       TEXT,
    boot_id             TEXT,          -- the boot that owner, child and ceiling belong to
    child_pid           INTEGER,
    child_started       TEXT,
    exit_code           INTEGER,
    duration_ms         INTEGER,
    output_dir          TEXT,          -- null when nothing was started, or retention has deleted it
    output_bytes        INTEGER,       -- the size of its files at the run's end
    retry_of            TEXT,          -- the interrupted run that this one makes up for
    retry_due           INTEGER NOT NULL DEFAULT 0 CHECK (retry_due IN (0, 1)),  -- interrupted, and still to be retried
    cancel_requested_at TEXT,
    cancel_requested_by TEXT           -- host:pid of the `cancel` that asked
) STRICT;

INSERT INTO runs_2 (run_id, job_id, started_at, finished_at, status, result_json, error_json, target, scheduled_for,
    trigger, attempt, slots, waiting, lease_token, lease_owner, lease_expires_at, owner_pid, owner_started, boot_id,
    child_pid, child_started, exit_code, duration_ms, output_dir)
SELECT run_id, job_id, started_at, finished_at, status, result_json, error_json, target, scheduled_for,
    trigger, attempt, slots, waiting, lease_token, lease_owner, lease_expires_at, owner_pid, owner_started, boot_id,
    child_pid, child_started, exit_code, duration_ms, output_dir
FROM runs ORDER BY rowid;

DROP TABLE runs;
ALTER TABLE runs_2 RENAME TO runs;

-- No slot starts twice.
CREATE UNIQUE INDEX runs_slot ON runs (job_id, scheduled_for, target);
-- A job runs once at a time.
CREATE UNIQUE INDEX runs_running ON runs (job_id, target) WHERE status = 'running';
CREATE INDEX runs_recent ON runs (started_at, run_id);
CREATE INDEX runs_of_job ON runs (job_id, started_at, run_id);
CREATE INDEX runs_retry_due ON runs (retry_due) WHERE retry_due = 1;
-- What retention looks at, oldest first.
CREATE INDEX runs_with_output ON runs (finished_at, run_id) WHERE output_dir IS NOT NULL;
