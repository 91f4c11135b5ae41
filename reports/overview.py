"""The reports behind `watch` (`overview`) and `timeline`, as JSON objects. It only reads the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from core.boundary import Failure, guarded
from core.clock import utc_text
from core.json_objects import ErrorObject
from reports import health
from schedules.calendar import Calendar
from scheduling.planner import slots_between
from store.definitions import job_state
from store.history import History, RunFilter, RunSummary
from store.views import NextUp, RunningView, Span, Views

if TYPE_CHECKING:
    from db import Row
    from store.bundle import Store

#: The most rows in each part of the live view.
RUNNING_SHOWN, NEXT_SHOWN, RESULTS_SHOWN = 50, 12, 25
#: The most runs, and the most upcoming slots, in one picture. In two weeks a job each minute has 20,160 of each.
MOST_MARKS = 100_000
_NEVER_RAN = ("skipped", "missed")


class RunningJob(RunningView):
    """A running run. `waiting`: it waits for its next attempt. `lease_over`: its scheduler may be gone.

    `usual_ms` is the median duration of the job's last successes; null without any. `progress` is elapsed / usual, and
    null too; above 1 means longer than usual.
    """

    lease_over: bool
    elapsed_sec: int
    usual_ms: int | None
    progress: float | None


class NextRun(NextUp):
    """The next run of a job, `in_sec` seconds from now."""

    in_sec: int | None


class UndeliveredEvents(TypedDict):
    """The channels with undelivered events."""

    waiting: list[health.WaitingEvents]


class Overview(TypedDict):
    """What is running, what comes next, what ended last. `recent_runs` has rows of `history`, not masked yet."""

    running: list[RunningJob]
    next: list[NextRun]
    recent_runs: list[RunSummary]
    overdue_count: int
    events: UndeliveredEvents


class TimelineRun(TypedDict):
    """A run in the timeline. Instants are UTC text; `scheduled_for` is null for a run by hand."""

    run_id: str
    status: str
    trigger: str
    scheduled_for: str | None
    started_at: str
    finished_at: str | None
    attempt: int


#: `slots` slots in a row that never ran, from the first to the last one (UTC text), and the code that says why.
MissedSlots = TypedDict(
    "MissedSlots",
    {"run_id": str, "status": str, "from": str, "to": str, "slots": int, "code": str | None},
)


class TimelineJob(TypedDict):
    """A job in the timeline.

    `upcoming` are slots, `overdue` is the slot that should have started before now (UTC text). What a limit left out is
    counted: the oldest runs, the latest slots. `problem` says why the job can't be planned.
    """

    job_id: str
    state: str
    timezone: str
    runs: list[TimelineRun]
    missed: list[MissedSlots]
    upcoming: list[str]
    overdue: str | None
    runs_left_out: int
    upcoming_left_out: int
    problem: ErrorObject | None


#: What ran in the `hours` before now and what will run in those after. Instants are UTC text.
Timeline = TypedDict(
    "Timeline",
    {
        "from": str,
        "to": str,
        "now": str,
        "hours": int,
        "jobs": list[TimelineJob],
        "jobs_shown": int,
        "jobs_left_out": int,
        "truncated": bool,
    },
)


def overview(store: Store, now: datetime) -> Overview:
    """The report of `watch`: running jobs, next runs, last results, undelivered events."""
    views, history = Views(store.db), History(store.db)
    running = [
        _running(row, history.median_duration_ms(str(row["job_id"])), now) for row in views.running(RUNNING_SHOWN)
    ]
    running_ids = {row["run_id"] for row in running}
    newest = history.page(RunFilter(limit=RESULTS_SHOWN + len(running)))
    ended = [row for row in newest if row["status"] != "running" and row["run_id"] not in running_ids]
    overdue, _ = health.overdue_jobs(store, now)
    return {
        "running": running,
        "next": [_next_run(row, now) for row in views.next_up(NEXT_SHOWN)],
        "recent_runs": ended[:RESULTS_SHOWN],
        "overdue_count": overdue,
        "events": {"waiting": health.waiting_events(store)},
    }


def _running(row: RunningView, usual_ms: int | None, now: datetime) -> RunningJob:
    elapsed = max(0, -(_seconds(now, str(row["started_at"])) or 0))
    lease = health.instant(str(row["lease_expires_at"] or ""))
    return {
        **row,
        "lease_over": lease is not None and lease < now,
        "elapsed_sec": elapsed,
        "usual_ms": usual_ms,
        "progress": round(elapsed * 1000 / usual_ms, 3) if usual_ms else None,
    }


def _next_run(row: NextUp, now: datetime) -> NextRun:
    return {**row, "in_sec": _seconds(now, str(row["next_run_at"]))}


def _seconds(now: datetime, text: str) -> int | None:
    instant = health.instant(text)
    return None if instant is None else round((instant - now).total_seconds())


@dataclass(frozen=True)
class Window:
    """The span of a timeline: `hours` before and after `now` (UTC), and how many jobs it shows; or only one job."""

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


def timeline(store: Store, window: Window, calendar: Calendar) -> Timeline:
    """The report of `timeline`. If there are too many jobs, those without anything in the span are left out first."""
    views, span = Views(store.db), Span(utc_text(window.start), utc_text(window.now))
    rows = [row for row in views.jobs(span) if _belongs(row, window)]
    rows.sort(key=lambda row: not _is_active(row, utc_text(window.end)))
    shown = sorted(rows[: window.most_jobs], key=lambda row: str(row["job_id"]))
    run_shares = shares([views.count(row["job_id"], span) for row in shown], MOST_MARKS)
    upcoming = [_upcoming(row, window, calendar) for row in shown]
    slot_shares = shares([len(slots) for slots, _ in upcoming], MOST_MARKS)
    jobs: list[TimelineJob] = []
    for row, (slots, problem), (most_runs, total), (most_slots, _) in zip(
        shown, upcoming, run_shares, slot_shares, strict=True
    ):
        runs = [*_began_before(views, row["job_id"], span.start), *views.runs(row["job_id"], span, most_runs)]
        jobs.append(
            {
                "job_id": row["job_id"],
                "state": _state(row),
                "timezone": row["timezone"],
                "runs": [_run(run) for run in runs if run["status"] not in _NEVER_RAN],
                "missed": [_missed(run) for run in runs if run["status"] in _NEVER_RAN],
                "upcoming": [utc_text(slot) for slot in slots[:most_slots]],
                "overdue": row["next_run_at"] if _is_overdue(row, window.now) else None,
                "runs_left_out": total - most_runs,
                "upcoming_left_out": len(slots) - most_slots,
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


def shares(counts: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Shares a limit among the counts: `(share, count)` for each.

    All get their count if the sum is at most `most`; else the largest are cut to the same share.
    """
    left, result = most, [0] * len(counts)
    for rank, index in enumerate(sorted(range(len(counts)), key=lambda index: counts[index])):
        result[index] = min(counts[index], left // (len(counts) - rank))
        left -= result[index]
    return list(zip(result, counts, strict=True))


def _belongs(row: Row, window: Window) -> bool:
    if window.job_id:
        return bool(row["job_id"] == window.job_id)
    return row["removed_at"] is None or bool(row["ran"])


def _is_active(row: Row, end: str) -> bool:
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


def _upcoming(row: Row, window: Window, calendar: Calendar) -> tuple[tuple[datetime, ...], ErrorObject | None]:
    """The slots after now, and the error if the job can't be planned."""
    if not row["enabled"] or row["next_run_at"] is None or row["removed_at"] is not None:
        return (), None
    slots = guarded(lambda: slots_between(job_state(row), window.now, window.end, calendar, MOST_MARKS))
    return ((), slots.as_dict()) if isinstance(slots, Failure) else (slots, None)


def _began_before(views: Views, job_id: str, start: str) -> list[Row]:
    row = views.running_at(job_id, start)
    return [] if row is None else [row]


def _run(row: Row) -> TimelineRun:
    return {
        "run_id": row["run_id"],
        "status": row["status"],
        "trigger": row["trigger"],
        "scheduled_for": row["scheduled_for"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "attempt": row["attempt"],
    }


def _missed(row: Row) -> MissedSlots:
    """The slots that a row of the status missed or skipped stands for."""
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
