-- Schema 3: what agents use, what is remembered from run to run, and which way a run's target was run.

ALTER TABLE runs ADD COLUMN runner TEXT;            -- command, invoke, claude, …; null before the target was reached
ALTER TABLE runs ADD COLUMN session_id TEXT;        -- the agent's session that the run left
ALTER TABLE runs ADD COLUMN iterations INTEGER;     -- calls of a heartbeat; null where there is none
ALTER TABLE runs ADD COLUMN cost_usd REAL;          -- of all its calls; null when no agent ran
ALTER TABLE runs ADD COLUMN turns INTEGER;
ALTER TABLE runs ADD COLUMN input_tokens INTEGER;
ALTER TABLE runs ADD COLUMN output_tokens INTEGER;

-- What a job's last run left for the next.
CREATE TABLE sessions (
    job_id      TEXT PRIMARY KEY NOT NULL,
    runner      TEXT NOT NULL,
    session_id  TEXT NOT NULL,          -- "" when the runner has none
    summary     TEXT NOT NULL,          -- the end of what was said, bounded
    run_id      TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    input_tokens   INTEGER NOT NULL DEFAULT 0,  -- of the whole session, where the agent counts so
    output_tokens  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What agents have used, by job and day of the job's zone. Kept when retention deletes the rows of the runs.
CREATE TABLE spending (
    job_id         TEXT NOT NULL,
    day            TEXT NOT NULL,       -- 2026-02-25
    runs           INTEGER NOT NULL DEFAULT 0,
    cost_usd       REAL NOT NULL DEFAULT 0,
    turns          INTEGER NOT NULL DEFAULT 0,
    input_tokens   INTEGER NOT NULL DEFAULT 0,
    output_tokens  INTEGER NOT NULL DEFAULT 0,
    refusal_told   INTEGER NOT NULL DEFAULT 0 CHECK (refusal_told IN (0, 1)),  -- that slots are skipped is told once
    PRIMARY KEY (job_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX spending_by_day ON spending (day);
