"""What the live view and the picture of a span show, as JSON reports. Reads a store, waits for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from core.boundary import Failure, guarded
from core.clock import utc_text
from reports import health
from schedules.calendar import Calendar
from scheduling.planner import slots_between
from store.definitions import job_state
from store.history import History, Wanted
from store.views import Span, Views

if TYPE_CHECKING:
    from db import Row
    from store.bundle import Store

#: Rows of each part of the live view.
RUNNING_SHOWN, NEXT_SHOWN, RESULTS_SHOWN = 50, 12, 25
#: Runs, and coming slots, in one picture. A job each minute has 20,160 of each in two weeks.
MOST_MARKS = 100_000
_NEVER_RAN = ("skipped", "missed")


def glance(store: Store, now: datetime) -> dict[str, object]:
    """What runs, what comes next, what ended last, what waits: `running`, `next`, `recent_runs`, `events`, …

    `usual_ms` is the median of the job's last successes, null without any; `progress` is elapsed / usual, and null
    too; a value above 1 means: longer than usual. Messages of errors are not masked yet.
    """
    views, history = Views(store.db), History(store.db)
    running = [_under_way(row, history.usual_ms(str(row["job_id"])), now) for row in views.running(RUNNING_SHOWN)]
    names = {row["run_id"] for row in running}
    newest = history.page(Wanted(limit=RESULTS_SHOWN + len(running)))
    ended = [row for row in newest if row["status"] != "running" and row["run_id"] not in names]
    overdue, _ = health.overdue_jobs(store, now)
    return {
        "running": running,
        "next": [{**row, "in_sec": _seconds(now, str(row["next_run_at"]))} for row in views.next_up(NEXT_SHOWN)],
        "recent_runs": ended[:RESULTS_SHOWN],
        "overdue_count": overdue,
        "events": {"waiting": health.waiting_events(store)},
    }


def _under_way(row: Mapping[str, object], usual_ms: int | None, now: datetime) -> dict[str, object]:
    elapsed = max(0, -(_seconds(now, str(row["started_at"])) or 0))
    lease = health.instant(str(row["lease_expires_at"] or ""))
    return {
        **row,
        "lease_over": lease is not None and lease < now,
        "elapsed_sec": elapsed,
        "usual_ms": usual_ms,
        "progress": round(elapsed * 1000 / usual_ms, 3) if usual_ms else None,
    }


def _seconds(now: datetime, text: str) -> int | None:
    instant = health.instant(text)
    return None if instant is None else round((instant - now).total_seconds())


@dataclass(frozen=True)
class Window:
    """A span around now, and how many jobs are shown of it."""

    now: datetime
    hours: int
    most_jobs: int
    job_id: str = ""

    @property
    def start(self) -> datetime:
        return self.now - timedelta(hours=self.hours)

    @property
    def end(self) -> datetime:
        return self.now + timedelta(hours=self.hours)


def timeline(store: Store, window: Window, calendar: Calendar) -> dict[str, object]:
    """What ran in the hours before now and what will run in those after: `from`, `to`, `now`, `jobs`, `truncated`.

    A job has `runs`, `missed` (slots that were missed or skipped) and `upcoming` slots, all UTC. Jobs with anything
    in the span come before those with nothing. What a limit leaves out is counted: `jobs_left_out`, and per job
    `runs_left_out` (the oldest) and `upcoming_left_out` (the latest).
    """
    views, span = Views(store.db), Span(utc_text(window.start), utc_text(window.now))
    rows = [row for row in views.jobs(span) if _belongs(row, window)]
    rows.sort(key=lambda row: not _is_lively(row, utc_text(window.end)))
    shown = sorted(rows[: window.most_jobs], key=lambda row: str(row["job_id"]))
    rooms = shares([views.count(row["job_id"], span) for row in shown], MOST_MARKS)
    coming = [_coming(row, window, calendar) for row in shown]
    places = shares([len(slots) for slots, _ in coming], MOST_MARKS)
    jobs = []
    for row, (slots, problem), (room, total), (place, _) in zip(shown, coming, rooms, places, strict=True):
        found = [*_began_before(views, row["job_id"], span.start), *views.runs(row["job_id"], span, room)]
        jobs.append(
            {
                "job_id": row["job_id"],
                "state": _state(row),
                "timezone": row["timezone"],
                "runs": [_run(run) for run in found if run["status"] not in _NEVER_RAN],
                "missed": [_missed(run) for run in found if run["status"] in _NEVER_RAN],
                "upcoming": [utc_text(slot) for slot in slots[:place]],
                "overdue": row["next_run_at"] if _is_overdue(row, window.now) else None,
                "runs_left_out": total - room,
                "upcoming_left_out": len(slots) - place,
                "problem": problem,
            }
        )
    cut = any(job["runs_left_out"] or job["upcoming_left_out"] for job in jobs)
    return {
        "from": utc_text(window.start),
        "to": utc_text(window.end),
        "now": utc_text(window.now),
        "hours": window.hours,
        "jobs": jobs,
        "jobs_shown": len(shown),
        "jobs_left_out": len(rows) - len(shown),
        "truncated": cut or len(rows) > len(shown),
    }


def shares(wanted: Sequence[int], most: int) -> list[tuple[int, int]]:
    """`(given, wanted)` each: all if that is not more than `most` together; else the large ones are cut alike."""
    left, given = most, [0] * len(wanted)
    for place, index in enumerate(sorted(range(len(wanted)), key=lambda index: wanted[index])):
        given[index] = min(wanted[index], left // (len(wanted) - place))
        left -= given[index]
    return list(zip(given, wanted, strict=True))


def _belongs(row: Row, window: Window) -> bool:
    if window.job_id:
        return bool(row["job_id"] == window.job_id)
    return row["removed_at"] is None or bool(row["ran"])


def _is_lively(row: Row, end: str) -> bool:
    cursor = row["next_run_at"]
    return bool(row["ran"]) or (bool(row["enabled"]) and cursor is not None and cursor <= end)


def _state(row: Row) -> str:
    if row["removed_at"] is not None:
        return "removed"
    if row["paused_at"] is not None:
        return "paused"
    return "enabled" if row["enabled"] else "disabled"


def _is_overdue(row: Row, now: datetime) -> bool:
    return bool(row["enabled"]) and row["next_run_at"] is not None and row["next_run_at"] <= utc_text(now)


def _coming(row: Row, window: Window, calendar: Calendar) -> tuple[tuple[datetime, ...], dict[str, object] | None]:
    """The slots after now, and why there are none where the job can't be planned."""
    if not row["enabled"] or row["next_run_at"] is None or row["removed_at"] is not None:
        return (), None
    found = guarded(lambda: slots_between(job_state(row), window.now, window.end, calendar, MOST_MARKS))
    return ((), found.as_dict()) if isinstance(found, Failure) else (found, None)


def _began_before(views: Views, job_id: str, start: str) -> list[Row]:
    row = views.under_way(job_id, start)
    return [] if row is None else [row]


def _run(row: Row) -> dict[str, object]:
    names = ("run_id", "status", "trigger", "scheduled_for", "started_at", "finished_at", "attempt")
    return {name: row[name] for name in names}


def _missed(row: Row) -> dict[str, object]:
    """Slots of one row that never ran: the first, the last, how many, and the code that says why."""
    try:
        error: Any = json.loads(row["error_json"] or "{}")
    except ValueError:
        error = {}
    details = error.get("details") if isinstance(error, dict) else None
    slot = row["scheduled_for"] or row["started_at"]
    first, last = (details.get(name) if isinstance(details, dict) else None for name in ("first_slot", "last_slot"))
    return {
        "run_id": row["run_id"],
        "status": row["status"],
        "from": first or slot,
        "to": last or slot,
        "slots": row["slots"],
        "code": error.get("code") if isinstance(error, dict) else None,
    }
