"""The one list of what can be set: documents and `.env.example` are made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from core.kinds import AGENTS

Kind = Literal["path", "inside", "integer", "switch", "text", "url", "names", "agents", "folders", "format", "level"]

PREFIX = "PURUTO_CRON_"


def in_words(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


class Variable(NamedTuple):
    """One setting: the field of `Values` that it fills, its name, its default as text, and what it means.

    `low` and `high` bound an integer, both included.
    """

    field: str
    name: str
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
            "format": "auto, json or text",
            "level": "error, warning, info or debug",
            "folders": "absolute folders, separated by colons",
        }[self.kind]


def setting(name: str, kind: Kind, default: str, meaning: str, low: int = 0, high: int = 0) -> Any:
    """Declares the variable that fills a field of `Values`; the arguments are those of `Variable`."""
    return field(repr=kind != "url", metadata={"variable": (name, kind, default, meaning, low, high)})


@dataclass(frozen=True, kw_only=True)
class Values:
    """All that can be set, checked. Paths are absolute; times are whole seconds. A new setting is one field here."""

    # fmt: off
    db_path: Path = setting("DB_PATH", "path", "db/cron.db", "The SQLite file.")
    poll_sec: int = setting(
        "PURUTO_CRON_POLL_SECONDS", "integer", "30",
        "Longest sleep of `daemon`. A due job, a sync and the like wake it earlier.", 1, 3_600,
    )
    lease_sec: int = setting(
        "PURUTO_CRON_LEASE_SECONDS", "integer", "120",
        "How long the lease of a run lasts, in seconds. It is renewed while the run is alive.", 5, 86_400,
    )
    data_path: Path = setting("PURUTO_DATA_PATH", "path", "../puruto-data", "Its `registry.json` may name targets.")
    telegram_path: Path = setting(
        "PURUTO_TELEGRAM_PATH", "path", "../puruto-telegram",
        "The sibling that mirrors events.",
    )
    telegram_outbox_file: str = setting(
        "PURUTO_TELEGRAM_OUTBOX_FILE", "inside", "inbox/cron-events.jsonl",
        "The file of that sibling to which events are appended.",
    )
    """Relative to `telegram_path`, and inside it."""
    home: Path = setting("PURUTO_HOME", "path", "..", "The folder that holds the sibling repositories.")
    timezone: str | None = setting(
        "PURUTO_CRON_TIMEZONE", "text", "",
        "IANA zone, like Europe/Madrid, for jobs without a `timezone`. Unset: the machine's zone.",
    )
    """As written; whether it is a zone is for `schedules` to say."""
    max_running: int = setting(
        "PURUTO_CRON_MAX_RUNNING", "integer", "4",
        "How many runs there may be at the same time, in all processes together. Other jobs stay due.", 1, 1_000,
    )
    auto_sync: bool = setting(
        "PURUTO_CRON_AUTO_SYNC", "switch", "1",
        "Whether a tick first loads a `.jobs.json` that has changed.",
    )
    kill_grace_sec: int = setting(
        "PURUTO_CRON_KILL_GRACE_SECONDS", "integer", "5",
        "Seconds between TERM and KILL when a run is ended.", 0, 600,
    )
    stop_sec: int = setting(
        "PURUTO_CRON_STOP_SECONDS", "integer", "30",
        "Seconds that runs may continue when `daemon` is asked to stop. Those that are left are then ended.",
        0, 86_400,
    )
    stale_after_sec: int = setting(
        "PURUTO_CRON_STALE_SECONDS", "integer", "300",
        "If no tick came for this many seconds, `status` reports STALE.", 60, 31_536_000,
    )
    keep_runs: int = setting(
        "PURUTO_CRON_KEEP_RUNS", "integer", "1000",
        "Ended runs to keep for each job, with their output and events. Older ones are deleted.", 1, 10_000_000,
    )
    keep_days: int = setting(
        "PURUTO_CRON_KEEP_DAYS", "integer", "90",
        "Days to keep ended runs, their output, and event files that were put aside.", 1, 36_500,
    )
    keep_output_mb: int = setting(
        "PURUTO_CRON_KEEP_OUTPUT_MB", "integer", "1024",
        "Megabytes of disk that output in `runs/` may hold. If there is more, the job that has most gives its oldest.",
        1, 1_000_000_000,
    )
    events_mb: int = setting(
        "PURUTO_CRON_EVENTS_MB", "integer", "16",
        "Size of `notifications/events.jsonl`, in megabytes, at which it is put aside under a dated name.",
        1, 1_000_000,
    )
    ping_url: str | None = setting(
        "PURUTO_CRON_PING_URL", "url", "",
        "Address to ping after each tick, with `/fail` added when a job failed: for a dead-man's alarm.",
    )
    """May hold a secret."""
    redact: tuple[str, ...] = setting(
        "PURUTO_CRON_REDACT", "names", "",
        "More variables whose values are masked in results, errors, events and logs, besides what looks like a secret.",
    )
    agents: tuple[str, ...] = setting(
        "PURUTO_CRON_AGENTS", "agents", ",".join(AGENTS),
        "Agents to try for a target that has neither a command nor an `invoke`, in this order.",
    )
    agent_path: tuple[str, ...] = setting(
        "PURUTO_CRON_AGENT_PATH", "folders", "",
        "Folders that are searched for the agents' programs before PATH.",
    )
    format: str = setting(
        "PURUTO_CRON_FORMAT", "format", "auto",
        "What commands print without `--json` or `--text`. `auto`: text on a terminal, JSON elsewhere.",
    )
    log_level: str = setting(
        "PURUTO_CRON_LOG", "level", "",
        "What goes into `puruto-cron.log`, in the folder of the database. Unset: `warning`, and `info` of the daemon.",
    )
    """Empty when it is left to the command."""
    # fmt: on


#: In the order of the fields.
VARIABLES = tuple(Variable(part.name, *part.metadata["variable"]) for part in fields(Values))
