"""Reports of `timeline` and `watch` for tests of the pictures."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any, Literal

from rich.console import Console, RenderableType

from core.clock import utc_text
from tests.fakes import at

NOW = at("02-25 20:00")


def text(hours: float) -> str:
    """The instant `hours` after NOW, as UTC text."""
    return utc_text(NOW + timedelta(hours=hours))


def run(status: str, start: float, end: float | None, run_id: str = "r") -> dict[str, Any]:
    """A run; hours from NOW."""
    finished = None if end is None else text(end)
    return {"run_id": run_id, "status": status, "started_at": text(start), "finished_at": finished}


def gap(status: str, first: float, last: float, slots: int = 1) -> dict[str, Any]:
    """Slots that never ran; hours from NOW."""
    return {
        "run_id": "g", "status": status, "from": text(first), "to": text(last), "slots": slots, "code": "SLOT_MISSED",
    }  # fmt: skip


def job(job_id: str = "backup", **fields: Any) -> dict[str, Any]:
    """A job of `timeline`'s report."""
    base: dict[str, Any] = {
        "job_id": job_id, "state": "enabled", "timezone": "UTC", "runs": [], "missed": [], "upcoming": [],
        "overdue": None, "runs_left_out": 0, "upcoming_left_out": 0, "problem": None,
    }  # fmt: skip
    return {**base, **fields}


def report(*jobs: dict[str, Any], hours: float = 12, zone: str = "UTC", **fields: Any) -> dict[str, Any]:
    """A report of `timeline`, NOW in its middle."""
    base = {"from": text(-hours), "to": text(hours), "now": text(0), "timezone": zone, "jobs": list(jobs)}
    return {**base, "jobs_left_out": 0, **fields}


def watch_report(**fields: Any) -> dict[str, Any]:
    """A report of `watch`: the scheduler has just ticked, and there are no runs."""
    base: dict[str, Any] = {
        "scheduler": {"last_tick_at": text(0), "stale": False}, "running": [], "next": [], "recent_runs": [],
        "overdue_count": 0, "events": {"waiting": []},
    }  # fmt: skip
    return {**base, **fields}


def running(job_id: str = "backup", elapsed_sec: float = 60, **fields: Any) -> dict[str, Any]:
    """A running row of `watch`."""
    base: dict[str, Any] = {
        "run_id": "r", "job_id": job_id, "started_at": text(-elapsed_sec / 3600), "attempt": 1, "max_retries": 2,
        "waiting": False, "lease_over": False, "usual_ms": None,
    }  # fmt: skip
    return {**base, **fields}


def printed(what: RenderableType, width: int = 100, *, colours: bool = False) -> str:
    """What rich prints of it, without spaces at the ends of lines."""
    system: Literal["standard"] | None = "standard" if colours else None
    out = Console(file=io.StringIO(), width=width, force_terminal=colours, color_system=system)
    with out.capture() as captured:
        out.print(what)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
