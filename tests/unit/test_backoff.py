"""How long a run waits after a failed attempt, and how long it can live at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.retries import LONGEST_BACKOFF_SEC, backoff_sec, ceiling_sec
from tests.fakes import make_job


@pytest.mark.parametrize(
    ("first", "failures", "wait"),
    [
        (30, 1, 30),
        (30, 2, 60),
        (30, 3, 120),
        (30, 7, 1_920),
        (30, 8, 3_600),
        (30, 101, 3_600),
        (1, 12, 2_048),
        (1, 13, 3_600),
        (0, 1, 0),
        (0, 50, 0),
        (3_600, 1, 3_600),
        (3_600, 2, 3_600),
    ],
)
def test_the_wait_doubles_with_each_failure_up_to_an_hour(first: int, failures: int, wait: int) -> None:
    assert backoff_sec(first, failures) == wait


@given(st.integers(0, 3_600), st.integers(1, 101))
def test_the_wait_is_the_formula_of_the_design(first: int, failures: int) -> None:
    assert backoff_sec(first, failures) == min(first * 2 ** (failures - 1), LONGEST_BACKOFF_SEC)


@given(st.integers(1, 604_800), st.integers(0, 100), st.integers(0, 3_600), st.integers(0, 600))
def test_the_ceiling_leaves_room_for_every_attempt_and_every_wait(
    timeout: int, retries: int, backoff: int, grace: int
) -> None:
    job = make_job(timeout_sec=timeout, max_retries=retries, retry_backoff_sec=backoff, command=["true"])
    waits = sum(min(backoff * 2**number, LONGEST_BACKOFF_SEC) for number in range(retries))
    assert ceiling_sec(job, grace) > (retries + 1) * (timeout + grace) + waits


def test_a_job_that_is_not_retried_has_a_ceiling_near_its_timeout() -> None:
    assert 120 < ceiling_sec(make_job(timeout_sec=120, command=["true"]), 5) < 300
