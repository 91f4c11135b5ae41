"""Ends runs from outside: those whose scheduler died or hangs, and those that a person cancels or frees by hand.

First their processes are ended, then the row is written with what was known: a crash between the two leaves the row,
by which they are found again.
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
from core.run import ProcessId, RunStatus, Verdict

#: Runs whose processes are ended at the same time: each may take its grace.
ENDED_AT_ONCE = 8
#: A lease that ends this much later than a new one would is no lease of now: the clock was wrong when it was taken.
LEASE_SLACK_SEC = 60


class Health(enum.Enum):
    """What a running row deserves."""

    ALIVE = "alive"
    ORPHAN_CANDIDATE = "suspect"  # its owner is gone, its lease is not over: wait
    DEAD = "dead"
    TOO_OLD = "too_old"  # its owner lives, and it has outlived every ceiling: the owner hangs
    GIVEN_UP = "given_up"  # its owner lives, and says that it could not store its verdict


class Running(Protocol):
    """A run that the ledger calls running."""

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
    """What settling asks of the store."""

    def running(self) -> Sequence[Any]: ...

    def finish(self, run_id: str, token: str, verdict: Verdict, channels: tuple[str, ...]) -> None: ...


@dataclass(frozen=True)
class End:
    """How a run is ended from outside: the verdict's status, its code, and why, as the end of a sentence.

    With `retry` the run is made up for by one more, if its job wants that.
    """

    status: RunStatus
    code: str
    why: str
    retry: bool = False


@dataclass(frozen=True)
class Reaped:
    """What one round did: the rows it ended, and the jobs whose owner is gone but whose lease is not over."""

    ended: tuple[dict[str, object], ...]
    orphan_candidates: frozenset[str]


def health(run: Running, now: datetime, monotonic: float, lease_sec: int, *, owner_alive: bool) -> Health:
    """Whether a running row is to be settled.

    Source: docs/design.md "The life of a slot"; docs/promises.md, rows 11 and 12.

    `monotonic` is the machine's, in seconds; only a living owner, so one of this boot, is measured by it. A lease that
    is over says nothing of a living owner: the machine slept, or its clock jumped, and it is about to renew.
    """
    if owner_alive:
        return Health.TOO_OLD if run.ceiling is not None and run.ceiling <= monotonic else Health.ALIVE
    latest = utc_text(now + timedelta(seconds=lease_sec + LEASE_SLACK_SEC))
    over = run.lease_expires_at <= utc_text(now) or run.lease_expires_at > latest
    return Health.DEAD if over else Health.ORPHAN_CANDIDATE


class Reaper:
    """Looks at running rows, and ends those that are to be ended."""

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
        """`end_leftovers` ends what lives of a run and says how many there were; `last_output` gives what it printed
        last, safe to be told; `wants_retry` says whether its job asks for one more.
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
        """Ends the rows of dead runs, and of those of ours that we gave up; what another settles first is left to it.

        A row that can't be settled is left for the next tick and hurts no other.
        """
        orphan_candidates: set[str] = set()
        dead: list[tuple[Running, End]] = []
        for run in self._ledger.running():
            found = guarded(
                partial(self.health, run),
                "Whether the run's scheduler is alive can't be told",
                job=run.job_id,
                run_id=run.run_id,
            )
            state = Health.GIVEN_UP if run.run_id in given_up else found
            if state is Health.ORPHAN_CANDIDATE or isinstance(state, Failure):
                orphan_candidates.add(run.job_id)
            elif state is not Health.ALIVE:
                dead.append((run, _interruption(run, state)))
        ended: list[dict[str, object]] = []
        counts = self._end_all(dead)
        if dead:
            crash_points.point("settle.after_leftovers")
        for (run, end), killed in zip(dead, counts, strict=True):
            told = self._write_or_fail(run, end, killed)
            if isinstance(told, Failure):
                orphan_candidates.add(run.job_id)
            elif told is not None:
                ended.append(told)
        return Reaped(tuple(ended), frozenset(orphan_candidates))

    def health(self, run: Running) -> Health:
        """What a running row deserves now."""
        alive = self._is_alive(run.owner)
        return health(run, self._clock.now(), self._clock.monotonic(), self._lease_sec, owner_alive=alive)

    def end(self, run: Running, end: End) -> dict[str, object] | None:
        """Ends one run; what was told of it, or None when it had ended meanwhile.

        Of a scheduler that lives the row is taken first, else it would tell the end of its processes as a failure.
        When it finds its lease lost it ends them too, so that a crash here leaves none.
        """
        if not self._is_alive(run.owner):
            return self._write(run, end, self._end_leftovers(run))
        told = self._write(run, end, None)
        self._end_leftovers(run)
        return told

    def _end_all(self, dead: Sequence[tuple[Running, End]]) -> list[int | Failure]:
        """Ends the processes of all, several at the same time; how many there were of each."""

        def one(run: Running) -> int | Failure:
            crash_points.point("settle.before_leftovers")
            return guarded(
                lambda: self._end_leftovers(run),
                "What is left of the run could not be ended",
                job=run.job_id,
                run_id=run.run_id,
            )

        if len(dead) < 2:
            return [one(run) for run, _ in dead]
        with ThreadPoolExecutor(ENDED_AT_ONCE) as pool:
            return list(pool.map(one, [run for run, _ in dead]))

    def _write_or_fail(self, run: Running, end: End, killed: int | Failure) -> dict[str, object] | Failure | None:
        if isinstance(killed, Failure):
            return killed
        note = "The end of the run could not be stored"
        return guarded(lambda: self._write(run, end, killed), note, job=run.job_id, run_id=run.run_id)

    def _write(self, run: Running, end: End, killed: int | None) -> dict[str, object] | None:
        now = self._clock.now()
        retry = end.retry and self._wants_retry(run)
        error = self._error(run, end, killed, retry=retry)
        ids: dict[str, object] = {"job_id": run.job_id, "run_id": run.run_id}
        verdict = Verdict(
            status=end.status,
            finished_at=now,
            duration_ms=_lived_ms(run.started_at, now),
            error=error,
            event={**ids, "attempts": run.attempt, "error": error},
            retry=retry,
        )
        try:
            self._ledger.finish(run.run_id, run.token, verdict, self._channels_of(run.notify_channel))
        except LeaseLost:
            log.debug("Somebody else has settled the run", job=run.job_id, run_id=run.run_id)
            return None
        log.info(str(error["message"]), job=run.job_id, run_id=run.run_id, code=end.code)
        return {**ids, "error": error}

    def _error(self, run: Running, end: End, killed: int | None, *, retry: bool) -> dict[str, object]:
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
        return Failure(end.code, f"The run {run.run_id} was {verb}: {end.why}", details).as_dict()


def _interruption(run: Running, state: Health) -> End:
    if state is Health.TOO_OLD:
        why = f"its scheduler {run.lease_owner} hangs: the run is older than its attempts and waits can take"
    elif state is Health.GIVEN_UP:
        why = f"its scheduler {run.lease_owner} could not store how it ended"
    else:
        why = f"its scheduler {run.lease_owner} is gone"
    return End(RunStatus.INTERRUPTED, "INTERRUPTED", why, retry=True)


def _lived_ms(started_at: str, now: datetime) -> int:
    """0 when the clock went back, or when the row was changed by hand into something that is no instant."""
    try:
        return max(0, round((now - from_text(started_at)).total_seconds() * 1000))
    except ValueError:
        return 0
