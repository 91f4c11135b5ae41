-- Schema 1. Times are TEXT, UTC, ISO 8601 with +00:00 and whole seconds: text order is time order.

-- One row a job. The first thirteen columns are the contract's; lease_* mirror the job's running run for people who query.
CREATE TABLE jobs (
    job_id            TEXT PRIMARY KEY NOT NULL,
    enabled           INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    puruto_target     TEXT NOT NULL,
    schedule          TEXT NOT NULL,
    prompt            TEXT NOT NULL,
    notify_channel    TEXT NOT NULL,
    timeout_sec       INTEGER NOT NULL,
    max_retries       INTEGER NOT NULL,
    retry_backoff_sec INTEGER NOT NULL,
    next_run_at       TEXT,            -- the cursor: the oldest slot not yet accounted for; null when none will come
    last_run_at       TEXT,
    lease_owner       TEXT,
    lease_expires_at  TEXT,
    timezone          TEXT NOT NULL,   -- the IANA zone that was resolved at sync
    timezone_source   TEXT NOT NULL CHECK (timezone_source IN ('job', 'setting', 'machine')),
    anchor_at         TEXT NOT NULL,   -- since when the job has this schedule: the origin of @every
    definition_json   TEXT NOT NULL,   -- all fields of the job, as checked
    removed_at        TEXT,            -- no longer in .jobs.json; kept for its history
    problem_json      TEXT,            -- why the last tick could not plan it
    updated_at        TEXT NOT NULL
) STRICT;

CREATE INDEX jobs_due ON jobs (next_run_at, job_id) WHERE enabled = 1 AND next_run_at IS NOT NULL;

-- The ledger: one row a slot, and one a run-now.
CREATE TABLE runs (
    run_id           TEXT PRIMARY KEY NOT NULL,
    job_id           TEXT NOT NULL,
    started_at       TEXT NOT NULL,
    finished_at      TEXT,
    status           TEXT NOT NULL CHECK (
        status IN ('running', 'ok', 'error', 'cancelled', 'interrupted', 'skipped', 'missed')),
    result_json      TEXT,
    error_json       TEXT,             -- for skipped, missed, cancelled and interrupted: the reason
    target           TEXT NOT NULL,
    scheduled_for    TEXT,             -- the slot; null for run-now
    trigger          TEXT NOT NULL CHECK (trigger IN ('schedule', 'catch_up', 'manual')),
    attempt          INTEGER NOT NULL DEFAULT 0,
    slots            INTEGER NOT NULL DEFAULT 1,  -- how many slots this row accounts for; 0 for run-now
    waiting          INTEGER NOT NULL DEFAULT 0 CHECK (waiting IN (0, 1)),  -- between attempts: holds no place under the cap
    lease_token      TEXT,
    lease_owner      TEXT,
    lease_expires_at TEXT,
    ceiling_at       TEXT,             -- no run of this job may live longer
    owner_pid        INTEGER,
    owner_started    TEXT,
    boot_id          TEXT,
    child_pid        INTEGER,
    child_started    TEXT,
    exit_code        INTEGER,
    duration_ms      INTEGER,
    output_dir       TEXT
) STRICT;

-- No slot starts twice.
CREATE UNIQUE INDEX runs_slot ON runs (job_id, scheduled_for, target);
-- A job runs once at a time.
CREATE UNIQUE INDEX runs_running ON runs (job_id, target) WHERE status = 'running';
CREATE INDEX runs_recent ON runs (started_at, run_id);
CREATE INDEX runs_of_job ON runs (job_id, started_at, run_id);

-- What is to be told, stored in the transaction that makes it true.
CREATE TABLE events (
    event_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id       TEXT NOT NULL,
    job_id       TEXT NOT NULL,
    ts           TEXT NOT NULL,
    payload_json TEXT NOT NULL
) STRICT;

CREATE INDEX events_of_run ON events (run_id);
CREATE INDEX events_of_job ON events (job_id, event_id);

-- Where each event goes, and whether it has arrived.
CREATE TABLE deliveries (
    channel      TEXT NOT NULL,
    event_id     INTEGER NOT NULL REFERENCES events (event_id),
    state        TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'not_applicable')),
    settled_at   TEXT,
    failures     INTEGER NOT NULL DEFAULT 0,
    last_error   TEXT,
    PRIMARY KEY (channel, event_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_waiting ON deliveries (channel, event_id) WHERE state = 'waiting';

-- Small facts: what was synced last, what was wrong with it, which configuration was seen.
CREATE TABLE state (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
