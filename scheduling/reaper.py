"""Ends runs from outside: those whose scheduler is gone or hung, and those that a person cancels or unlocks.

The run's processes are killed first, and the row is written then. After a crash between the two, the row still says
running, and the processes are found by it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from core import crash_points, log
from core.boundary import Failure, guarded
from core.clock import Clock, from_text, utc_text
from core.errors import LeaseLost
from core.json_objects import ErrorObject, RunEvent, SettledRun
from core.run import ProcessId, RunStatus, Verdict

#: How many runs are killed at the same time; each may take its kill grace.
ENDED_AT_ONCE = 8
#: A lease that ends this many seconds later than a new one would was taken while the clock was wrong.
LEASE_SLACK_SEC = 60


class Health(enum.Enum):
    """The state of a row that says running."""

    ALIVE = "alive"
    ORPHAN_CANDIDATE = "orphan_candidate"  # its owner is gone, but its lease has not expired: wait
    DEAD = "dead"  # its owner is gone, and its lease has expired
    TOO_OLD = "too_old"  # its owner is alive, but the run is older than it can get: the owner hangs
    GIVEN_UP = "given_up"  # its owner is alive, and could not store the verdict


class Running(Protocol):
    """A row that says running. Times are UTC text; `ceiling` is in monotonic seconds."""

    @property
    def run_id(self) -> str: ...
    @property
    def job_id(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def lease_owner(self) -> str: ...
    @property
    def lease_expires_at(self) -> str: ...
    @property
    def ceiling(self) -> float | None: ...
    @property
    def started_at(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def owner(self) -> ProcessId: ...
    @property
    def child(self) -> ProcessId | None: ...
    @property
    def output_dir(self) -> str: ...
    @property
    def notify_channel(self) -> str: ...


class Ledger(Protocol):
    """What the reaper needs of the store."""

    def running(self) -> Sequence[Any]: ...

    def finish(self, run_id: str, token: str, verdict: Verdict, channels: tuple[str, ...]) -> None: ...


@dataclass(frozen=True)
class ForcedEnd:
    """How a run is ended from outside: the verdict's status, its code, and the reason as the end of a sentence.

    With `retry` another run is started for the same slot, if the job says `retry_interrupted`.
    """

    status: RunStatus
    code: str
    reason: str
    retry: bool = False


@dataclass(frozen=True)
class Reaped:
    """What `reap` did: the runs it settled, and the jobs whose rows it left because their leases have not expired."""

    ended: tuple[SettledRun, ...]
    orphan_candidates: frozenset[str]


def health(run: Running, now: datetime, monotonic: float, lease_sec: int, *, owner_alive: bool) -> Health:
    """The state of a row that says running. Source: docs/design.md "The life of a slot"; docs/promises.md, rows 11, 12.

    `monotonic` is the machine's monotonic clock in seconds; it is compared only if the owner is alive, and so of this
    boot. An expired lease does not matter then: the machine slept or its clock jumped, and the owner will renew it.
    """
    if owner_alive:
        return Health.TOO_OLD if run.ceiling is not None and run.ceiling <= monotonic else Health.ALIVE
    latest = utc_text(now + timedelta(seconds=lease_sec + LEASE_SLACK_SEC))
    has_expired = run.lease_expires_at <= utc_text(now) or run.lease_expires_at > latest
    return Health.DEAD if has_expired else Health.ORPHAN_CANDIDATE


class Reaper:
    """Checks the rows that say running, and ends those whose schedulers are gone or hung."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        is_alive: Callable[[ProcessId], bool],
        end_leftovers: Callable[[Any], int],
        last_output: Callable[[Any], Mapping[str, object]],
        wants_retry: Callable[[Any], bool],
        channels_of: Callable[[str], tuple[str, ...]],
        lease_sec: int,
    ) -> None:
        """`end_leftovers` kills the processes that are left of a run, and returns their number; `last_output` gives the
        end of what it printed, without secrets; `wants_retry` says whether its job wants another run for the slot.
        """
        self._ledger = ledger
        self._clock = clock
        self._is_alive = is_alive
        self._end_leftovers = end_leftovers
        self._last_output = last_output
        self._wants_retry = wants_retry
        self._channels_of = channels_of
        self._lease_sec = lease_sec

    def reap(self, given_up: Collection[str] = ()) -> Reaped:
        """Settles dead runs, and the runs in `given_up`: runs of this process whose verdicts could not be stored.

        A row that can't be settled is left to the next tick, and the others are settled all the same.
        """
        orphan_candidates: set[str] = set()
        dead: list[tuple[Running, ForcedEnd]] = []
        for run in self._ledger.running():
            checked = guarded(
                partial(self.health, run),
                "It is unknown whether the run's scheduler is alive",
                job=run.job_id,
                run_id=run.run_id,
            )
            state = Health.GIVEN_UP if run.run_id in given_up else checked
            if state is Health.ORPHAN_CANDIDATE or isinstance(state, Failure):
                orphan_candidates.add(run.job_id)
            elif state is not Health.ALIVE:
                dead.append((run, _interruption(run, state)))
        ended: list[SettledRun] = []
        counts = self._end_leftovers_of_all(dead)
        if dead:
            crash_points.point("settle.after_leftovers")
        for (run, end), killed in zip(dead, counts, strict=True):
            settled = self._write_or_fail(run, end, killed)
            if isinstance(settled, Failure):
                orphan_candidates.add(run.job_id)
            elif settled is not None:
                ended.append(settled)
        return Reaped(tuple(ended), frozenset(orphan_candidates))

    def health(self, run: Running) -> Health:
        """The state of a row that says running, now."""
        alive = self._is_alive(run.owner)
        return health(run, self._clock.now(), self._clock.monotonic(), self._lease_sec, owner_alive=alive)

    def end(self, run: Running, end: ForcedEnd) -> SettledRun | None:
        """Ends one run. Returns None if it had already ended by itself.

        If its scheduler is alive, the row is written first; else the scheduler would report the killed processes as a
        failure. It kills them too when it finds that its lease is lost, so a crash here leaves none.
        """
        if not self._is_alive(run.owner):
            return self._write(run, end, self._end_leftovers(run))
        settled = self._write(run, end, None)
        self._end_leftovers(run)
        return settled

    def _end_leftovers_of_all(self, dead: Sequence[tuple[Running, ForcedEnd]]) -> list[int | Failure]:
        """Kills the processes of several runs at the same time. Returns their number for each run."""

        def end_leftovers(run: Running) -> int | Failure:
            crash_points.point("settle.before_leftovers")
            return guarded(
                lambda: self._end_leftovers(run),
                "The processes that are left of the run could not be killed",
                job=run.job_id,
                run_id=run.run_id,
            )

        if len(dead) < 2:
            return [end_leftovers(run) for run, _ in dead]
        with ThreadPoolExecutor(ENDED_AT_ONCE) as pool:
            return list(pool.map(end_leftovers, [run for run, _ in dead]))

    def _write_or_fail(self, run: Running, end: ForcedEnd, killed: int | Failure) -> SettledRun | Failure | None:
        if isinstance(killed, Failure):
            return killed
        note = "The end of the run could not be stored"
        return guarded(lambda: self._write(run, end, killed), note, job=run.job_id, run_id=run.run_id)

    def _write(self, run: Running, end: ForcedEnd, killed: int | None) -> SettledRun | None:
        now = self._clock.now()
        retry = end.retry and self._wants_retry(run)
        error = self._error(run, end, killed, retry=retry)
        event: RunEvent = {"job_id": run.job_id, "run_id": run.run_id, "attempts": run.attempt, "error": error}
        verdict = Verdict(
            status=end.status,
            finished_at=now,
            duration_ms=_duration_ms(run.started_at, now),
            error=error,
            event=event,
            retry=retry,
            processes_ended=killed,
        )
        try:
            self._ledger.finish(run.run_id, run.token, verdict, self._channels_of(run.notify_channel))
        except LeaseLost:
            log.debug("Another process has settled the run", job=run.job_id, run_id=run.run_id)
            return None
        log.info(error["message"], job=run.job_id, run_id=run.run_id, code=end.code)
        return {"job_id": run.job_id, "run_id": run.run_id, "error": error}

    def _error(self, run: Running, end: ForcedEnd, killed: int | None, *, retry: bool) -> ErrorObject:
        details: dict[str, object] = {
            "attempt": run.attempt,
            "lease_owner": run.lease_owner,
            "lease_expires_at": run.lease_expires_at,
            "child_pid": run.child.pid if run.child else None,
            **({} if killed is None else {"processes_ended": killed}),
            "output_dir": run.output_dir or None,
            **self._last_output(run),
        }
        if end.retry:
            details["retry"] = retry
        verb = "interrupted" if end.status is RunStatus.INTERRUPTED else "ended"
        return {"code": end.code, "message": f"The run {run.run_id} was {verb}: {end.reason}", "details": details}


def _interruption(run: Running, state: Health) -> ForcedEnd:
    if state is Health.TOO_OLD:
        reason = f"its scheduler {run.lease_owner} hangs: the run is older than its attempts and waits can take"
    elif state is Health.GIVEN_UP:
        reason = f"its scheduler {run.lease_owner} could not store how it ended"
    else:
        reason = f"its scheduler {run.lease_owner} is gone"
    return ForcedEnd(RunStatus.INTERRUPTED, "INTERRUPTED", reason, retry=True)


def _duration_ms(started_at: str, now: datetime) -> int:
    """0 if the clock was set back since the start, or if the row was edited by hand and is not a time."""
    try:
        return max(0, round((now - from_text(started_at)).total_seconds() * 1000))
    except ValueError:
        return 0
