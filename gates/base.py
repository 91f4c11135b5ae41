"""What a gate is. Each is a file beside this one, which declares its code and the fields of a job that it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from core.job import Job, JobState
from core.run import Refusal

#: A field of a job that says one of these asks for nothing.
_UNSET: tuple[object, ...] = (None, False, "", [], {})


@dataclass(frozen=True)
class Facts:
    """What a gate may ask about, which costs nothing as long as none does.

    `spent`: job_id and local day → dollars that the job's runs have cost. `day_of`: timezone and instant → local day,
    like `2026-02-25`.
    """

    spent: Callable[[str, str], float]
    day_of: Callable[[str, datetime], str]


class Gate(ABC):
    """A reason for which a run may have to wait. A module declares one as its `KIND`."""

    #: The code of its refusals, in the ledger and in events.
    code: ClassVar[str] = ""
    #: Of the gates that refuse, the one with the lowest decides.
    order: ClassVar[int] = 100
    #: The fields of a job that it reads: a job that has none of them is not asked about. Empty: every job is.
    fields: ClassVar[tuple[str, ...]] = ()
    #: For the table of codes in the documents: when it refuses, and what to do about it.
    meaning: ClassVar[str] = ""
    fix: ClassVar[str] = ""

    def concerns(self, job: Job) -> bool:
        """Whether the job has one of the fields that this gate reads."""
        return not self.fields or any(getattr(job, field) not in _UNSET for field in self.fields)

    @abstractmethod
    def verdict(self, state: JobState, now: datetime, facts: Facts) -> Refusal | None:
        """Why no run of the job may start at `now`; None when nothing speaks against it."""

    def limit_reached(self, job: Job, timezone: str, now: datetime, facts: Facts) -> str:  # noqa: ARG002 - a gate's form
        """The field whose limit a run has reached on its way, so that it makes no further call and no retry; or ""."""
        return ""
