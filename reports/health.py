"""The health of the scheduler: its last tick, overdue jobs, undelivered events, anomalies. It only reads.

Source: docs/promises.md, rows 4, 11 and 17.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, NotRequired, Protocol, TypedDict

from core.clock import from_text, utc_text
from core.errors import DatabaseFull, DatabaseLogReplaced, MachineExhausted, VerdictNotStored
from core.run import ProcessId
from scheduling import reaper
from scheduling.machine_faults import MACHINE_FACT
from store.pauses import how_to_resume

#: A job that is due for longer than this was not served: a tick comes each minute and takes less than another.
OVERDUE_AFTER_SEC = 120
#: At most this many overdue jobs, and anomalies of each kind, are reported.
SHOWN = 100
#: Key of the state row with the result of the last ping, a `PingResult`.
PING_FACT = "ping"
#: Key of the state row with the last clock anomaly that a tick found, and how long it is reported.
CLOCK_FACT = "clock_anomaly"
_CLOCK_FACT_SHOWN = timedelta(days=1)
#: Key of the state row with the children of the daemon that belong to no run, as far as it can tell.
OTHERS_FACT = "other_children"
#: Most of them that are stored and named.
_OTHERS_SHOWN = 20
#: Key of the state row that says when the daemon had to open the database again, because its log was replaced.
LOG_FACT = "log_replaced"

#: cron reads a changed crontab within a minute, and then starts the line at the next full minute.
FIRST_TICK = timedelta(minutes=2)
#: A tick or the daemon may write its time while this report is being made.
_MEANWHILE = timedelta(seconds=5)


class TickState(TypedDict):
    """When the last tick ran (UTC text; null: never), and whether that is too long ago."""

    last_tick_at: str | None
    last_tick_age_sec: int | None
    stale_after_sec: int
    stale: bool


class OverdueJob(TypedDict):
    """An enabled job that no tick has started: due at `next_run_at` (UTC text), `late_sec` seconds ago."""

    job_id: str
    next_run_at: str
    late_sec: int | None
    running: bool


class WaitingEvents(TypedDict):
    """Undelivered events of one channel, the oldest of `oldest_ts` (UTC text), and the error of the last attempt."""

    channel: str
    count: int
    oldest_ts: str
    failures: int
    last_error: str | None


class WarningEntry(TypedDict):
    """Something that needs attention, and where possible what to do."""

    code: str
    message: str
    hint: NotRequired[str]


class Anomaly(WarningEntry):
    """A warning about the scheduler, a job or a run."""

    job_id: NotRequired[str]
    run_id: NotRequired[str]


@dataclass(frozen=True)
class TickLine:
    """A line that starts ticks: the crontab that it is in, and when `install-crontab` put it there, if it did."""

    source: str
    installed_at: datetime | None = None


class Condition(TypedDict):
    """What `status` reports under `scheduler` besides the tick and the daemon."""

    overdue_count: int
    overdue_jobs: list[OverdueJob]
    waiting_events: list[WaitingEvents]
    anomalies: list[Anomaly]


class SchedulerHealth(TickState, Condition):
    """All that `status` reports under `scheduler`."""

    daemon: Mapping[str, object]
    paths: Mapping[str, str]


class PingResult(TypedDict):
    """How the dead-man's ping of `at` (UTC text) went; `failed`: it reported a failed tick."""

    at: str
    ok: bool
    failed: bool
    error: str | None


class Store(Protocol):
    """What this report needs of the store. Rows are read by the attribute names that the store gives them."""

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
    """The moment of a report: wall time (UTC), monotonic seconds, and a check whether a process is alive.

    `is_disk_full`: that of the database has no room.
    """

    wall: datetime
    monotonic: float
    is_alive: Callable[[ProcessId], bool]
    is_disk_full: bool = False


def instant(text: str) -> datetime | None:
    """The instant that a stored text holds; None if it is empty or damaged."""
    try:
        return from_text(text) if text else None
    except ValueError:
        return None


def tick_state(last_tick: datetime | None, now: datetime, stale_after_sec: int) -> TickState:
    """When the last tick ran, and whether it is stale: more than `stale_after_sec` ago, or as far in the future."""
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
    """Nothing starts ticks."""
    DAEMON = "DAEMON_SILENT"
    """A daemon is running, but does nothing."""


def silence(
    ticks: Mapping[str, object], daemon: Mapping[str, object], last_poll: datetime | None, now: datetime
) -> Silence | None:
    """Why no job starts by itself, judged by a `tick_state` and a `daemon_state`; None if jobs do start.

    A daemon is judged by its own last poll, `last_poll`. Ticks from cron do not hide that it hangs.
    """
    if not daemon.get("running"):
        return Silence.TICK if ticks["stale"] else None
    stale_after_sec, age = ticks["stale_after_sec"], _seconds(last_poll, now)
    if age is None or not isinstance(stale_after_sec, int):
        return Silence.DAEMON if ticks["stale"] else None
    return Silence.DAEMON if abs(age) > stale_after_sec else None


def first_tick_comes(ticks: Mapping[str, object], line: TickLine | None, now: datetime) -> bool:
    """Whether the line was put into the crontab just now, so that no tick could have come yet."""
    if line is None or line.installed_at is None:
        return False
    last = instant(str(ticks["last_tick_at"] or ""))
    return timedelta(0) <= now - line.installed_at <= FIRST_TICK and (last is None or last < line.installed_at)


def silence_warning(
    ticks: Mapping[str, object], daemon: Mapping[str, object], last_poll: datetime | None, now: datetime,
    line: TickLine | None = None,
) -> list[WarningEntry]:  # fmt: skip
    """A list with one warning if no job starts by itself; else an empty list. `line` is what should start ticks."""
    fault = silence(ticks, daemon, last_poll, now)
    if fault is None:
        return []
    last = ticks["last_tick_at"] if fault is Silence.TICK or last_poll is None else utc_text(last_poll)
    since = f"since {last}" if last else "so far"
    if fault is Silence.DAEMON:
        message = f"The daemon (process {daemon['pid']}) hangs: it has not looked for due jobs {since}. "
        return [{"code": fault.value, "message": f"{message}End it, and start it again."}]
    message = f"No tick has run {since}: no job starts by itself. "
    if line is None:
        message += "Start ticks: python3 main.py install-crontab, or install-systemd."
    elif first_tick_comes(ticks, line, now):
        message = (
            f"No tick has run {since}. The crontab got its line a moment ago: the first tick comes within a minute."
        )
    else:
        message += (
            f"But a line in {line.source} starts one each minute: is cron running? See `systemctl status cron` "
            "(elsewhere crond) and the end of db/tick.log; `python3 main.py doctor` looks closer."
        )
    return [{"code": fault.value, "message": message}]


def condition(store: Store, last_tick: datetime | None, now: Now, lease_sec: int) -> Condition:
    """Overdue jobs, undelivered events and anomalies. `lease_sec` is the length of a lease in seconds."""
    count, overdue = overdue_jobs(store, now.wall)
    return {
        "overdue_count": count,
        "overdue_jobs": overdue,
        "waiting_events": waiting_events(store),
        "anomalies": anomalies(store, last_tick, now, lease_sec),
    }


def overdue_jobs(store: Store, now: datetime) -> tuple[int, list[OverdueJob]]:
    """How many enabled jobs are overdue, and those that are overdue longest (at most `SHOWN`)."""
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


def waiting_events(store: Store) -> list[WaitingEvents]:
    """For each channel with undelivered events: how many, since when, and why."""
    return [
        {
            "channel": waiting.channel,
            "count": waiting.count,
            "oldest_ts": waiting.oldest_ts,
            "failures": waiting.failures,
            "last_error": waiting.last_error or None,
        }
        for waiting in store.events.undelivered_summary()
    ]


def clock_fact(anomaly: Mapping[str, object], now: datetime) -> dict[str, object]:
    """What is stored of a tick's clock anomaly: the anomaly, when it was seen, and the number of corrected jobs."""
    jobs = anomaly.get("corrected_jobs")
    count = len(jobs) if isinstance(jobs, Sequence) else 0
    return {**anomaly, "corrected_jobs": count, "seen_at": utc_text(now)}


def anomalies(store: Store, last_tick: datetime | None, now: Now, lease_sec: int) -> list[Anomaly]:
    """Everything that looks wrong: the clock, running runs, jobs, processes."""
    return [
        *_of_the_machine(store),
        *_of_the_clock(store, last_tick, now.wall),
        *_of_the_log(store, now.wall),
        *_of_runs(store, now, lease_sec),
        *_of_jobs(store),
        *_of_processes(store, now),
    ]


def others_fact(parent: ProcessId, others: Sequence[tuple[ProcessId, str]]) -> dict[str, object] | None:
    """What is stored of processes that were left alone: their parent, and the first of them. None if there are none."""
    processes = [{"name": name, **asdict(process)} for process, name in others[:_OTHERS_SHOWN]]
    return {"parent": asdict(parent), "count": len(others), "processes": processes} if others else None


def _of_the_machine(store: Store) -> Iterator[Anomaly]:
    fact = store.state.get_fact(MACHINE_FACT)
    if fact is not None:
        message = f"At {fact.get('at')} no run could be started. {fact.get('message')}. Due slots wait until one can"
        yield {"code": MachineExhausted.code, "message": message, "hint": str(fact.get("hint") or "")}


def _of_processes(store: Store, now: Now) -> Iterator[Anomaly]:
    fact = store.state.get_fact(OTHERS_FACT)
    if fact is None or not now.is_alive(ProcessId(**fact["parent"])):
        return
    processes = [(entry.pop("name"), ProcessId(**entry)) for entry in fact["processes"]]
    alive = [f"{name} ({process.pid})" for name, process in processes if now.is_alive(process)]
    if alive:
        more = f", and {fact['count'] - len(processes)} more" if fact["count"] > len(processes) else ""
        yield {
            "code": "PROCESS_LEFT_ALONE",
            "message": f"Children of the daemon that are not known as a run's are left alone: {', '.join(alive)}{more}",
            "hint": "If they are yours, all is well. If a job has started them, end them by their pids."
            " See docs/targets.md, Timeout, and the end of a process tree.",
        }


def _of_the_clock(store: Store, last_tick: datetime | None, now: datetime) -> Iterator[Anomaly]:
    if last_tick is not None and last_tick > now + _MEANWHILE:
        yield {
            "code": "LAST_TICK_IN_FUTURE",
            "message": f"The last tick is dated {utc_text(last_tick)}, {_seconds(now, last_tick)} s in the future",
            "hint": "The clock was or is wrong. The next tick corrects the next runs that it moved.",
        }
    fact = store.state.get_fact(CLOCK_FACT) or {}
    seen = instant(str(fact.get("seen_at") or ""))
    if seen is not None and abs(now - seen) <= _CLOCK_FACT_SHOWN:
        yield {
            "code": str(fact.get("code")),
            "message": f"At {fact.get('seen_at')} a tick found that the clock was set back from"
            f" {fact.get('last_seen_at')}; jobs whose next run was corrected: {fact.get('corrected_jobs')}",
            "hint": "If nobody set it by hand, find out what sets this machine's clock.",
        }


def full_disk(db_path: str) -> Anomaly:
    """That the disk of the database is full."""
    return {
        "code": DatabaseFull.code,
        "message": f"The disk of {db_path} is full: nothing can be stored, so no job starts. This shows what is stored",
        "hint": "Free some space: python3 main.py prune",
    }


def _of_the_log(store: Store, now: datetime) -> Iterator[Anomaly]:
    fact = store.state.get_fact(LOG_FACT) or {}
    at = instant(str(fact.get("at") or ""))
    if at is None or abs(now - at) > _CLOCK_FACT_SHOWN:
        return
    lost = fact.get("lost")
    names = f", not put back: {', '.join(map(str, lost))}" if isinstance(lost, list) and lost else ""
    yield {
        "code": DatabaseLogReplaced.code,
        "message": f"At {fact['at']} the daemon found that the -wal or -shm file of the database had been removed or"
        f" replaced. Runs whose rows it put back: {fact.get('restored')}{names}",
        "hint": "Never delete these files by hand. What ticks stored just before may be lost: python3 main.py doctor",
    }


def _of_runs(store: Store, now: Now, lease_sec: int) -> list[Anomaly]:
    runs: list[Anomaly] = []
    for run in store.runs.running():
        alive = now.is_alive(run.owner)
        state = reaper.health(run, now.wall, now.monotonic, lease_sec, owner_alive=alive)
        if state is reaper.Health.TOO_OLD:
            text = f"The run {run.run_id} is older than its job allows: its scheduler {run.lease_owner} hangs"
            hint = "The next tick ends it."
            runs.append(_anomaly("RUN_BEYOND_CEILING", text, hint, run.job_id, run.run_id))
        elif state is not reaper.Health.ALIVE:
            text = f"The scheduler {run.lease_owner} of the run {run.run_id} is gone"
            hint = (
                f"A tick ends the run once its lease is over: {run.lease_expires_at}."
                f" To end it now: python3 main.py unlock {run.job_id}"
            )
            runs.append(_anomaly("OWNER_GONE", text, hint, run.job_id, run.run_id))
        elif _waits_for_its_verdict(run, now, lease_sec):
            text = f"The run {run.run_id} has ended, but its verdict is not stored: {run.lease_owner} tries again"
            hint = "Make the database writable: free some space on its disk. Until then its job does not start again."
            runs.append(_anomaly(VerdictNotStored.code, text, hint, run.job_id, run.run_id))
    return runs[:SHOWN]


def _waits_for_its_verdict(run: Any, now: Now, lease_sec: int) -> bool:
    """Whether the process of an attempt is gone, and nothing about the run was stored for a while, or nothing can be.

    That shows without anything being written: a run that goes on renews its lease after a third of it.
    """
    if run.child is None or now.is_alive(run.child):
        return False
    expires = instant(run.lease_expires_at)
    return now.is_disk_full or (expires is not None and expires - now.wall < timedelta(seconds=lease_sec / 2))


def _of_jobs(store: Store) -> Iterator[Anomaly]:
    for job in store.health.troubled(SHOWN):
        if job.problem_json is not None:
            text = f"The job {job.job_id} can't be planned: {_message(job.problem_json)}"
            yield _anomaly("JOB_PROBLEM", text, "See `problem` in: python3 main.py list", job.job_id)
        if job.paused_at is not None:
            text = f"The job {job.job_id} was paused at {job.paused_at}, because it failed too often"
            hint = f"See why: python3 main.py logs --job {job.job_id}. {how_to_resume(job.job_id)}"
            yield _anomaly("JOB_PAUSED", text, hint, job.job_id)
        if job.no_next_run:
            text = f"The job {job.job_id} is enabled but will never start: `{job.schedule}` has no next run"
            yield _anomaly("NO_NEXT_RUN", text, "Change its schedule, or disable it.", job.job_id)
        if job.stray_lease:
            text = f"The job {job.job_id} has a lease of {job.lease_owner}, but no run of it is running"
            hint = "Nothing to do: it blocks nothing, and the next run overwrites it."
            yield _anomaly("LEASE_WITHOUT_RUN", text, hint, job.job_id)


def _anomaly(code: str, message: str, hint: str, job_id: str, run_id: str = "") -> Anomaly:
    anomaly: Anomaly = {"code": code, "message": message, "hint": hint}
    if run_id:
        anomaly["run_id"] = run_id
    anomaly["job_id"] = job_id
    return anomaly


def _message(problem_json: str) -> str:
    try:
        return str(json.loads(problem_json)["message"])
    except (ValueError, KeyError, TypeError):
        return "its stored problem can't be read"


def _seconds(since: datetime | None, until: datetime) -> int | None:
    return None if since is None else round((until - since).total_seconds())
