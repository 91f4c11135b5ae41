"""Settles runs whose scheduler died: ends what is left of them, and writes `interrupted` with what was known."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from boundary import guarded
from errors import LeaseLost
from models import Clock, Failure, ProcessId, RunStatus, Verdict, from_text, utc_text

#: A lease that ends this much later than a new one would is no lease of now: the clock was wrong when it was taken.
LEASE_SLACK_SEC = 60


class Health(enum.Enum):
    """What a running row deserves."""

    ALIVE = "alive"
    SUSPECT = "suspect"  # its owner is gone, its lease is not over: wait
    DEAD = "dead"
    TOO_OLD = "too_old"  # its owner lives, and it has outlived every ceiling: the owner hangs


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
    def ceiling_at(self) -> str: ...
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
class Settled:
    """What one round did: the rows it ended, and the jobs whose owner is gone but whose lease is not over."""

    ended: tuple[dict[str, object], ...]
    suspects: frozenset[str]


def health(run: Running, now: datetime, lease_sec: int, *, owner_alive: bool) -> Health:
    """Whether a running row is to be settled. Source: DESIGN "The life of a slot", PAINS 11 and 12."""
    if run.ceiling_at and run.ceiling_at <= utc_text(now):
        return Health.TOO_OLD if owner_alive else Health.DEAD
    if owner_alive:
        return Health.ALIVE
    latest = utc_text(now + timedelta(seconds=lease_sec + LEASE_SLACK_SEC))
    over = run.lease_expires_at <= utc_text(now) or run.lease_expires_at > latest
    return Health.DEAD if over else Health.SUSPECT


class Settler:
    """Looks at every running row once."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        is_alive: Callable[[ProcessId], bool],
        end_leftovers: Callable[[Any], int],
        channels_of: Callable[[str], tuple[str, ...]],
        lease_sec: int,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._is_alive = is_alive
        self._end_leftovers = end_leftovers
        self._channels_of = channels_of
        self._lease_sec = lease_sec

    def settle(self) -> Settled:
        """Ends the rows of dead runs; a row that another process settles first is left to it.

        A row that can't be settled is left for the next tick and hurts no other.
        """
        ended: list[dict[str, object]] = []
        suspects: set[str] = set()
        for run in self._ledger.running():
            found = guarded(lambda run=run: self._look(run))  # type: ignore[misc]
            if found is Health.SUSPECT or isinstance(found, Failure):
                suspects.add(run.job_id)
            elif isinstance(found, dict):
                ended.append(found)
        return Settled(tuple(ended), frozenset(suspects))

    def _look(self, run: Running) -> Health | dict[str, object] | None:
        state = health(run, self._clock.now(), self._lease_sec, owner_alive=self._is_alive(run.owner))
        return state if state in (Health.ALIVE, Health.SUSPECT) else self._end(run, state)

    def _end(self, run: Running, state: Health) -> dict[str, object] | None:
        # First the processes, then the row: a crash between the two leaves the row for the next tick to find them by.
        killed = self._end_leftovers(run)
        now = self._clock.now()
        error = _interrupted(run, state, killed)
        ids: dict[str, object] = {"job_id": run.job_id, "run_id": run.run_id}
        verdict = Verdict(
            status=RunStatus.INTERRUPTED,
            finished_at=now,
            duration_ms=_lived_ms(run.started_at, now),
            error=error,
            event={**ids, "attempts": run.attempt, "error": error},
        )
        try:
            self._ledger.finish(run.run_id, run.token, verdict, self._channels_of(run.notify_channel))
        except LeaseLost:
            return None
        return {**ids, "error": error}


def _lived_ms(started_at: str, now: datetime) -> int:
    """0 when the clock went back, or when the row was changed by hand into something that is no instant."""
    try:
        return max(0, round((now - from_text(started_at)).total_seconds() * 1000))
    except ValueError:
        return 0


def _interrupted(run: Running, state: Health, killed: int) -> dict[str, object]:
    if state is Health.TOO_OLD:
        why = f"its scheduler {run.lease_owner} hangs: the run is older than its attempts and waits can take"
    else:
        why = f"its scheduler {run.lease_owner} is gone"
    details: dict[str, object] = {
        "attempt": run.attempt,
        "lease_owner": run.lease_owner,
        "lease_expires_at": run.lease_expires_at,
        "child_pid": run.child.pid if run.child else None,
        "processes_ended": killed,
        "output_dir": run.output_dir or None,
    }
    return Failure("INTERRUPTED", f"The run {run.run_id} was interrupted: {why}", details).as_dict()
