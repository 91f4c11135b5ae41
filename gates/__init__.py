"""May this run start, and may it go on? A file for each gate; the first that refuses decides.

It may import `core`. A new gate is one new file here, on the base of `base.py`; it is found by listing this folder.
"""

from __future__ import annotations

import functools
from datetime import datetime
from typing import TYPE_CHECKING

from core.kinds import GATES

if TYPE_CHECKING:
    from core.job import Job, JobState
    from core.run import Refusal
    from gates.base import Facts, Gate


@functools.cache
def all_gates() -> tuple[Gate, ...]:
    """All of them, in the order in which they are asked."""
    found: list[Gate] = [GATES[name] for name in GATES]
    return tuple(sorted(found, key=lambda gate: (gate.order, gate.code)))


def verdict(state: JobState, now: datetime, facts: Facts) -> Refusal | None:
    """Why no run of this job may start now; None when nothing speaks against it."""
    for gate in all_gates():
        if gate.concerns(state.job) and (refusal := gate.verdict(state, now, facts)) is not None:
            return refusal
    return None


def limit_reached(job: Job, timezone: str, now: datetime, facts: Facts) -> str:
    """The field whose limit a run of this job has reached on its way; "" while it may go on."""
    for gate in all_gates():
        if gate.concerns(job) and (field := gate.limit_reached(job, timezone, now, facts)):
            return field
    return ""
