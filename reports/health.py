"""How the scheduler is: when it last ticked, what is late, what looks wrong. Reading only; waits for nothing.

Source: docs/promises.md, rows 4, 11 and 17.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from core.clock import from_text, utc_text
from core.run import ProcessId
from scheduling import reaper
from store.pauses import how_to_resume

#: A job whose cursor is due for longer than this was left out by a tick: one comes each minute and takes a moment.
OVERDUE_AFTER_SEC = 120
#: Of overdue jobs, and of each kind of anomaly, at most so many are shown.
SHOWN = 100
#: State row that holds how the last ping went: `{"at", "ok", "failed", "error"}`.
PING_FACT = "ping"
#: State row with the last clock anomaly that a tick met, and for how long it is shown.
CLOCK_FACT = "clock_anomaly"
_CLOCK_FACT_SHOWN = timedelta(days=1)

#: A daemon or a tick may leave its time while we look.
_BESIDE_US = timedelta(seconds=5)

Anomaly = dict[str, object]


class Store(Protocol):
    """What is asked of the store. Of rows only attributes are used, by the names that the store gives them."""

    @property
    def health(self) -> Any: ...
    @property
    def runs(self) -> Any: ...
    @property
    def events(self) -> Any: ...
    @property
    def state(self) -> Any: ...


@dataclass(frozen=True)
class Now:
    """The moment of a look: wall time, the machine's monotonic clock, and who lives."""

    wall: datetime
    monotonic: float
    is_alive: Callable[[ProcessId], bool]


def instant(text: str) -> datetime | None:
    """What a stored text says; None when it is empty, or damaged."""
    try:
        return from_text(text) if text else None
    except ValueError:
        return None


def tick_state(last_tick: datetime | None, now: datetime, stale_after_sec: int) -> dict[str, object]:
    """When the last tick ran, and whether that is too long ago (or, by a wrong clock, too far ahead)."""
    age = None if last_tick is None else round((now - last_tick).total_seconds())
    return {
        "last_tick_at": None if last_tick is None else utc_text(last_tick),
        "last_tick_age_sec": age,
        "stale_after_sec": stale_after_sec,
        "stale": age is None or abs(age) > stale_after_sec,
    }


class Silence(enum.StrEnum):
    """Why no job starts by itself."""

    TICK = "NO_TICK"
    """Nothing starts a tick."""
    DAEMON = "DAEMON_SILENT"
    """A daemon is there, and does nothing."""


def silence(
    ticks: Mapping[str, object], daemon: Mapping[str, object], last_look: datetime | None, now: datetime
) -> Silence | None:
    """What is wrong with what starts jobs, by a `tick_state` and a `daemon_state`; None when nothing is.

    A daemon is judged by its own last look: ticks beside it do not hide that it hangs.
    """
    if not daemon.get("running"):
        return Silence.TICK if ticks["stale"] else None
    stale_after_sec, age = ticks["stale_after_sec"], _seconds(last_look, now)
    if age is None or not isinstance(stale_after_sec, int):
        return Silence.DAEMON if ticks["stale"] else None
    return Silence.DAEMON if abs(age) > stale_after_sec else None


def silence_warning(
    ticks: Mapping[str, object], daemon: Mapping[str, object], last_look: datetime | None, now: datetime
) -> list[dict[str, object]]:
    """One warning, `code` and `message`, when no job starts by itself; none when all is well."""
    fault = silence(ticks, daemon, last_look, now)
    if fault is None:
        return []
    last = ticks["last_tick_at"] if fault is Silence.TICK or last_look is None else utc_text(last_look)
    since = f"since {last}" if last else "so far"
    if fault is Silence.DAEMON:
        message = f"The daemon (process {daemon['pid']}) holds its lock, and has not looked {since}: it hangs. "
        return [{"code": fault.value, "message": f"{message}End it, and start it again."}]
    return [
        {
            "code": fault.value,
            "message": f"No tick has run {since}: no job will start by itself. "
            "Start them: python3 main.py install-crontab, or install-systemd.",
        }
    ]


def condition(store: Store, last_tick: datetime | None, now: Now, lease_sec: int) -> dict[str, object]:
    """What `status` says under `scheduler` besides the last tick: overdue jobs, waiting events, anomalies."""
    count, overdue = overdue_jobs(store, now.wall)
    return {
        "overdue_count": count,
        "overdue_jobs": overdue,
        "waiting_events": waiting_events(store),
        "anomalies": anomalies(store, last_tick, now, lease_sec),
    }


def overdue_jobs(store: Store, now: datetime) -> tuple[int, list[dict[str, object]]]:
    """How many enabled jobs wait for longer than a tick can take, and the oldest of them."""
    count, jobs = store.health.overdue(utc_text(now - timedelta(seconds=OVERDUE_AFTER_SEC + 1)), SHOWN)
    return count, [
        {
            "job_id": job.job_id,
            "next_run_at": job.next_run_at,
            "late_sec": _seconds(instant(job.next_run_at), now),
            "running": job.running,
        }
        for job in jobs
    ]


def waiting_events(store: Store) -> list[dict[str, object]]:
    """Per channel how many events have not arrived, since when, and why."""
    return [
        {
            "channel": waiting.channel,
            "count": waiting.count,
            "oldest_ts": waiting.oldest_ts,
            "failures": waiting.failures,
            "last_error": waiting.last_error or None,
        }
        for waiting in store.events.waiting_summary()
    ]


def clock_fact(anomaly: Mapping[str, object], now: datetime) -> dict[str, object]:
    """What is kept of a tick's clock anomaly: when it was seen, and how many jobs it moved instead of which."""
    jobs = anomaly.get("corrected_jobs")
    moved = len(jobs) if isinstance(jobs, Sequence) else 0
    return {**anomaly, "corrected_jobs": moved, "seen_at": utc_text(now)}


def anomalies(store: Store, last_tick: datetime | None, now: Now, lease_sec: int) -> list[Anomaly]:
    """All that looks wrong, each with `code` and `message`, with `hint` where something can be done."""
    found = [*_of_the_clock(store, last_tick, now.wall)]
    found += _of_runs(store, now, lease_sec)
    found += _of_jobs(store)
    return found


def _of_the_clock(store: Store, last_tick: datetime | None, now: datetime) -> Iterator[Anomaly]:
    if last_tick is not None and last_tick > now + _BESIDE_US:
        yield {
            "code": "LAST_TICK_IN_FUTURE",
            "message": f"The last tick says {utc_text(last_tick)}, which is {_seconds(now, last_tick)} s ahead of now",
            "hint": "A clock was or is wrong. The next tick corrects what that has moved.",
        }
    fact = store.state.get_fact(CLOCK_FACT) or {}
    seen = instant(str(fact.get("seen_at") or ""))
    if seen is not None and abs(now - seen) <= _CLOCK_FACT_SHOWN:
        yield {
            "code": str(fact.get("code")),
            "message": f"At {fact.get('seen_at')} a tick found the clock set back from {fact.get('last_seen_at')};"
            f" next runs brought back: {fact.get('corrected_jobs')}",
            "hint": "If that was no correction by hand, see what sets this machine's clock.",
        }


def _of_runs(store: Store, now: Now, lease_sec: int) -> list[Anomaly]:
    found: list[Anomaly] = []
    for run in store.runs.running():
        alive = now.is_alive(run.owner)
        state = reaper.health(run, now.wall, now.monotonic, lease_sec, owner_alive=alive)
        who = {"run_id": run.run_id, "job_id": run.job_id}
        if state is reaper.Health.TOO_OLD:
            text = f"The run {run.run_id} has outlived all that its job allows; its scheduler {run.lease_owner} hangs"
            found.append({"code": "RUN_BEYOND_CEILING", "message": text, "hint": "The next tick ends it.", **who})
        elif state is not reaper.Health.ALIVE:
            text = f"The scheduler {run.lease_owner} of the run {run.run_id} is gone"
            hint = (
                f"A tick settles it once its lease is over: {run.lease_expires_at}."
                f" At once: python3 main.py unlock {run.job_id}"
            )
            found.append({"code": "OWNER_GONE", "message": text, "hint": hint, **who})
    return found[:SHOWN]


def _of_jobs(store: Store) -> Iterator[Anomaly]:
    for job in store.health.troubled(SHOWN):
        who = {"job_id": job.job_id}
        if job.problem_json is not None:
            text = f"The job {job.job_id} can't be planned: {_message(job.problem_json)}"
            yield {"code": "JOB_PROBLEM", "message": text, "hint": "See `problem` in: python3 main.py list", **who}
        if job.paused_at is not None:
            text = f"The job {job.job_id} is paused since {job.paused_at}: it failed too often"
            hint = f"See why: python3 main.py logs --job {job.job_id}. {how_to_resume(job.job_id)}"
            yield {"code": "JOB_PAUSED", "message": text, "hint": hint, **who}
        if job.no_next_run:
            text = f"The job {job.job_id} is enabled, and nothing will start it: `{job.schedule}` has no next run"
            yield {"code": "NO_NEXT_RUN", "message": text, "hint": "Change its schedule, or disable it.", **who}
        if job.stray_lease:
            text = f"The job {job.job_id} mirrors a lease of {job.lease_owner}, but no run of it is running"
            hint = "It holds up nothing; its next run overwrites it."
            yield {"code": "LEASE_WITHOUT_RUN", "message": text, "hint": hint, **who}


def _message(problem_json: str) -> str:
    try:
        return str(json.loads(problem_json)["message"])
    except (ValueError, KeyError, TypeError):
        return "its stored problem can't be read"


def _seconds(since: datetime | None, until: datetime) -> int | None:
    return None if since is None else round((until - since).total_seconds())
