-- Schema 5: a refusal is reported once a day for each gate, so that a second gate is not silent.

CREATE TABLE refusals_reported (
    job_id  TEXT NOT NULL,
    day     TEXT NOT NULL,       -- of the job's zone: 2026-02-25
    code    TEXT NOT NULL,       -- of the gate: COST_LIMIT
    PRIMARY KEY (job_id, day, code)
) STRICT, WITHOUT ROWID;

-- Up to schema 4 there was one gate.
INSERT INTO refusals_reported (job_id, day, code) SELECT job_id, day, 'COST_LIMIT' FROM spending WHERE refusal_told = 1;

-- The table is made anew without `refusal_told`: to drop the column would leave its comment at another one.
CREATE TABLE spending_5 (
    job_id         TEXT NOT NULL,
    day            TEXT NOT NULL,       -- 2026-02-25
    runs           INTEGER NOT NULL DEFAULT 0,
    cost_usd       REAL NOT NULL DEFAULT 0,
    turns          INTEGER NOT NULL DEFAULT 0,
    input_tokens   INTEGER NOT NULL DEFAULT 0,
    output_tokens  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, day)
) STRICT, WITHOUT ROWID;

INSERT INTO spending_5 (job_id, day, runs, cost_usd, turns, input_tokens, output_tokens)
SELECT job_id, day, runs, cost_usd, turns, input_tokens, output_tokens FROM spending;

DROP TABLE spending;
ALTER TABLE spending_5 RENAME TO spending;
CREATE INDEX spending_by_day ON spending (day);
