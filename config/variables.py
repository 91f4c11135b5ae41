"""The one list of what can be set: documents and `.env.example` are made from it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["path", "inside", "integer", "switch", "text", "url", "names", "agents", "folders", "format", "level"]

PREFIX = "PURUTO_CRON_"


class Variable(NamedTuple):
    """One setting: its name, the field of `Settings` it fills, its default as text, and what it means.

    `low` and `high` bound an integer, both included.
    """

    name: str
    field: str
    kind: Kind
    default: str
    meaning: str
    low: int = 0
    high: int = 0

    @property
    def allowed(self) -> str:
        """What a value must be, in words."""
        return {
            "path": "a path, absolute or from the folder of main.py",
            "inside": "a relative path that stays inside `PURUTO_TELEGRAM_PATH`",
            "integer": f"a whole number from {self.low} to {self.high}",
            "switch": "one of 1, true, yes, on, 0, false, no, off",
            "text": "one line of text",
            "url": "an http:// or https:// address",
            "names": "names of variables, separated by commas",
            "agents": "some of claude, codex and gemini, separated by commas",
            "format": "json or table",
            "level": "error, warning, info or debug",
            "folders": "absolute folders, separated by colons",
        }[self.kind]


VARIABLES: tuple[Variable, ...] = (
    Variable("DB_PATH", "db_path", "path", "db/cron.db", "The SQLite file."),
    Variable(
        "PURUTO_CRON_POLL_SECONDS", "poll_sec", "integer", "30",
        "Longest sleep of `daemon`. A due job, a sync and the like wake it earlier.", 1, 3_600,
    ),
    Variable(
        "PURUTO_CRON_LEASE_SECONDS", "lease_sec", "integer", "120",
        "How long the lease of a run lasts, in seconds. It is renewed while the run is alive.", 5, 86_400,
    ),
    Variable("PURUTO_DATA_PATH", "data_path", "path", "../puruto-data", "Its `registry.json` may name targets."),
    Variable("PURUTO_TELEGRAM_PATH", "telegram_path", "path", "../puruto-telegram", "The sibling that mirrors events."),
    Variable(
        "PURUTO_TELEGRAM_OUTBOX_FILE", "telegram_outbox_file", "inside", "inbox/cron-events.jsonl",
        "The file of that sibling to which events are appended.",
    ),
    Variable("PURUTO_HOME", "home", "path", "..", "The folder that holds the sibling repositories."),
    Variable(
        "PURUTO_CRON_TIMEZONE", "timezone", "text", "",
        "IANA zone, like Europe/Madrid, for jobs without a `timezone`. Unset: the machine's zone.",
    ),
    Variable(
        "PURUTO_CRON_MAX_RUNNING", "max_running", "integer", "4",
        "How many runs there may be at the same time, in all processes together. Other jobs stay due.", 1, 1_000,
    ),
    Variable(
        "PURUTO_CRON_AUTO_SYNC", "auto_sync", "switch", "1",
        "Whether a tick first loads a `.jobs.json` that has changed.",
    ),
    Variable(
        "PURUTO_CRON_KILL_GRACE_SECONDS", "kill_grace_sec", "integer", "5",
        "Seconds between TERM and KILL when a run is ended.", 0, 600,
    ),
    Variable(
        "PURUTO_CRON_STOP_SECONDS", "stop_sec", "integer", "30",
        "Seconds that runs may continue when `daemon` is asked to stop. Those that are left are then ended.", 0, 86_400,
    ),
    Variable(
        "PURUTO_CRON_STALE_SECONDS", "stale_after_sec", "integer", "300",
        "If no tick came for this many seconds, `status` reports STALE.", 60, 31_536_000,
    ),
    Variable(
        "PURUTO_CRON_KEEP_RUNS", "keep_runs", "integer", "1000",
        "Ended runs to keep for each job, with their output and events. Older ones are deleted.", 1, 10_000_000,
    ),
    Variable(
        "PURUTO_CRON_KEEP_DAYS", "keep_days", "integer", "90",
        "Days to keep ended runs, their output, and event files that were put aside.", 1, 36_500,
    ),
    Variable(
        "PURUTO_CRON_KEEP_OUTPUT_MB", "keep_output_mb", "integer", "1024",
        "Megabytes of output to keep in `runs/`. If there is more, the oldest output is deleted.", 1, 1_000_000_000,
    ),
    Variable(
        "PURUTO_CRON_EVENTS_MB", "events_mb", "integer", "16",
        "Size of `notifications/events.jsonl`, in megabytes, at which it is put aside under a dated name.",
        1, 1_000_000,
    ),
    Variable(
        "PURUTO_CRON_PING_URL", "ping_url", "url", "",
        "Address to ping after each tick, with `/fail` added when a job failed: for a dead-man's alarm.",
    ),
    Variable(
        "PURUTO_CRON_REDACT", "redact", "names", "",
        "More variables whose values are masked in results, errors, events and logs, besides what looks like a secret.",
    ),
    Variable(
        "PURUTO_CRON_AGENTS", "agents", "agents", "claude,codex,gemini",
        "Agents to try for a target that has neither a command nor an `invoke`, in this order.",
    ),
    Variable(
        "PURUTO_CRON_AGENT_PATH", "agent_path", "folders", "",
        "Folders that are searched for the agents' programs before PATH.",
    ),
    Variable(
        "PURUTO_CRON_FORMAT", "format", "format", "json",
        "What commands that have `--table` print by default.",
    ),
    Variable(
        "PURUTO_CRON_LOG", "log_level", "level", "",
        "What is written into `puruto-cron.log`, beside the database. Unset: `warning`, and `info` of the daemon.",
    ),
)  # fmt: skip
