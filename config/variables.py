"""The one list of what can be set: documents and `.env.example` are made from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from core.kinds import AGENTS

Kind = Literal["path", "inside", "integer", "switch", "text", "url", "names", "agents", "folders", "format"]

PREFIX = "PURUTO_CRON_"


def in_words(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


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
            "agents": f"some of {in_words(AGENTS)}, separated by commas",
            "format": "json or table",
            "folders": "absolute folders, separated by colons",
        }[self.kind]


VARIABLES: tuple[Variable, ...] = (
    Variable("DB_PATH", "db_path", "path", "db/cron.db", "The SQLite file."),
    Variable(
        "PURUTO_CRON_POLL_SECONDS", "poll_sec", "integer", "30",
        "Longest sleep of `daemon`. What wakes it, like a due job or a sync, does not wait for that.", 1, 3_600,
    ),
    Variable(
        "PURUTO_CRON_LEASE_SECONDS", "lease_sec", "integer", "120",
        "Seconds that the lease of a run lasts. It is renewed while the run lives.", 5, 86_400,
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
        "IANA zone, like Europe/Madrid, of schedules whose job has no `timezone`. Unset: the machine's zone.",
    ),
    Variable(
        "PURUTO_CRON_MAX_RUNNING", "max_running", "integer", "4",
        "Runs at the same time, over all processes. Jobs beyond it stay due.", 1, 1_000,
    ),
    Variable(
        "PURUTO_CRON_AUTO_SYNC", "auto_sync", "switch", "1",
        "Whether a tick first syncs a `.jobs.json` that has changed.",
    ),
    Variable(
        "PURUTO_CRON_KILL_GRACE_SECONDS", "kill_grace_sec", "integer", "5",
        "Seconds between TERM and KILL when a run is ended.", 0, 600,
    ),
    Variable(
        "PURUTO_CRON_STOP_SECONDS", "stop_sec", "integer", "30",
        "Seconds that runs may go on when `daemon` is told to end; those left are ended then.", 0, 86_400,
    ),
    Variable(
        "PURUTO_CRON_STALE_SECONDS", "stale_after_sec", "integer", "300",
        "Seconds without a tick after which the scheduler is called stale.", 60, 31_536_000,
    ),
    Variable(
        "PURUTO_CRON_KEEP_RUNS", "keep_runs", "integer", "1000",
        "Ended runs kept of each job, with their output and events; older ones are deleted.", 1, 10_000_000,
    ),
    Variable(
        "PURUTO_CRON_KEEP_DAYS", "keep_days", "integer", "90",
        "Days that ended runs, their output, and event files that were put aside are kept.", 1, 36_500,
    ),
    Variable(
        "PURUTO_CRON_KEEP_OUTPUT_MB", "keep_output_mb", "integer", "1024",
        "Megabytes of captured output kept in `runs/`; beyond them the oldest output is deleted.", 1, 1_000_000_000,
    ),
    Variable(
        "PURUTO_CRON_EVENTS_MB", "events_mb", "integer", "16",
        "Megabytes that `notifications/events.jsonl` may reach before it is put aside under a dated name.",
        1, 1_000_000,
    ),
    Variable(
        "PURUTO_CRON_PING_URL", "ping_url", "url", "",
        "Address that is asked after each tick, with `/fail` behind it when a job failed: for a dead-man's alarm.",
    ),
    Variable(
        "PURUTO_CRON_REDACT", "redact", "names", "",
        "Variables whose values are masked in results, errors, events and logs, besides those that look like secrets.",
    ),
    Variable(
        "PURUTO_CRON_AGENTS", "agents", "agents", ",".join(AGENTS),
        "Agents to try for a target that has neither a command nor an `invoke`, in this order.",
    ),
    Variable(
        "PURUTO_CRON_AGENT_PATH", "agent_path", "folders", "",
        "Folders in which the agents' programs are looked for before PATH.",
    ),
    Variable(
        "PURUTO_CRON_FORMAT", "format", "format", "json",
        "What commands with `--table` print unless they are told otherwise.",
    ),
)  # fmt: skip
