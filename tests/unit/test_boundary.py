"""The boundary behind which a fault hurts only the piece of work that it belongs to."""

from __future__ import annotations

from functools import partial

from core.boundary import Failure, guarded
from core.errors import JobNotFound


def test_an_error_of_ours_keeps_its_code_and_any_other_is_a_fault_of_ours() -> None:
    def work(error: Exception) -> None:
        raise error

    assert guarded(partial(divmod, 7, 2)) == (3, 1)
    ours = guarded(partial(work, JobNotFound("There is no job x", details={"job_id": "x"})))
    assert isinstance(ours, Failure)
    assert (ours.code, ours.details["job_id"]) == ("JOB_NOT_FOUND", "x")
    other = guarded(partial(work, ZeroDivisionError("by zero")))
    assert isinstance(other, Failure)
    assert (other.code, other.details["type"]) == ("INTERNAL_ERROR", "ZeroDivisionError")
