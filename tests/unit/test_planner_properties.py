"""What holds of every job and every sequence of ticks: each slot is accounted for exactly once, and time goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.job import JobState
from core.run import Missed
from schedules import language
from scheduling.planner import plan, skip_all
from tests.effort import examples
from tests.fakes import at, make_state

pytestmark = pytest.mark.slow

#: Around the changes of 2026 in Madrid, St John's and Lord Howe.
STARTS = (
    at("2026-03-28 17:11:31"),
    at("2026-10-24 20:59:59"),
    at("2026-03-07 22:00"),
    at("2026-10-03 03:30"),
    at("2026-04-03 23:45"),
)
ZONES = ("UTC", "Europe/Madrid", "America/St_Johns", "Australia/Lord_Howe")
#: Each with the length in seconds of the time that is looked at: a few dozen to a few hundred slots.
SCHEDULES = {
    "* * * * *": 5 * 3600,
    "*/7 * * * *": 30 * 3600,
    "13 * * * *": 5 * 86_400,
    "0 */3 * * *": 9 * 86_400,
    "30 2 * * *": 40 * 86_400,
    "0,30 1-3 * * *": 20 * 86_400,
    "15 4 * * 0": 90 * 86_400,
    "@every 41s": 3600,
    "@every 11m": 86_400,
    "@every 5h": 20 * 86_400,
    "@at 2026-03-29T02:30": 3 * 86_400,
}


@st.composite
def states(draw: st.DrawFn, *, catch_up: Sequence[str] = ("latest", "none", "all"), lateness: bool = True) -> JobState:
    """A job at the first slot behind one of the instants."""
    start = draw(st.sampled_from(STARTS)) + timedelta(seconds=draw(st.integers(0, 86_400)))
    schedule, zone = draw(st.sampled_from(sorted(SCHEDULES))), draw(st.sampled_from(ZONES))
    first = language.next_fire(schedule, zone, start, anchor=start)
    assume(first is not None)
    fields: dict[str, Any] = {"catch_up": draw(st.sampled_from(catch_up)), "catch_up_limit": draw(st.integers(1, 12))}
    if lateness:
        fields["max_lateness_sec"] = draw(st.none() | st.integers(1, SCHEDULES[schedule]))
    return make_state(first, zone=zone, anchor=start, schedule=schedule, **fields)


#: Thousandths of the span at which ticks come, in order, and how many seconds each waits for a permit.
ticks = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 900)), min_size=1, max_size=12).map(sorted)

few_ticks = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 900)), min_size=1, max_size=4).map(sorted)

few = settings(max_examples=examples(60))


@dataclass
class History:
    """What a sequence of ticks did with a job."""

    ran: list[datetime] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    cursors: list[datetime | None] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.ran) + sum(part.count for part in self.missed)

    def accounted(self, state: JobState) -> list[datetime]:
        """Every slot that a row stands for, in order, as often as rows stand for it."""
        spans = [slot for part in self.missed for slot in slots_between(state, part.first, part.last)]
        return sorted([*self.ran, *spans])


def serve(state: JobState, moments: Sequence[tuple[datetime, datetime]]) -> History:
    """Ticks that each serve the job until it is no longer due."""
    history = History(cursors=[state.next_run_at])
    for now, starts_at in moments:
        while state.next_run_at is not None and state.next_run_at <= now:
            step = plan(state, now, language, starts_at=starts_at)
            history.ran += [step.slot] if step.slot else []
            history.missed += [step.missed] if step.missed else []
            # A cursor that stands still would keep this loop for ever.
            assert step.next_run_at is None or step.next_run_at > state.next_run_at
            history.cursors.append(step.next_run_at)
            state = replace(state, next_run_at=step.next_run_at)
    return history


def moments_of(state: JobState, offsets: Sequence[tuple[int, int]]) -> list[tuple[datetime, datetime]]:
    """(when a tick looks, when it serves) of each tick."""
    start = state.next_run_at
    assert start is not None
    step = SCHEDULES[state.job.schedule] / 1000
    nows = [start + timedelta(seconds=int(offset * step)) for offset, _ in offsets]
    return [(now, now + timedelta(seconds=wait)) for now, (_, wait) in zip(nows, offsets, strict=True)]


def slots_between(state: JobState, first: datetime, last: datetime) -> Iterator[datetime]:
    """The slots from `first` to `last`, both included, asked one by one."""
    slot: datetime | None = first
    while slot is not None and slot <= last:
        yield slot
        slot = language.next_fire(state.job.schedule, state.timezone, slot, anchor=state.anchor)


@pytest.mark.slow
@few
@given(states(), ticks)
def test_every_slot_of_the_span_is_accounted_for_exactly_once(
    state: JobState, offsets: Sequence[tuple[int, int]]
) -> None:
    moments = moments_of(state, offsets)
    history = serve(state, moments)
    start = state.next_run_at
    assert start is not None
    expected = list(slots_between(state, start, moments[-1][0]))
    assert history.accounted(state) == expected
    assert history.count == len(expected)


@few
@given(states(), ticks)
def test_the_cursor_only_moves_forward_and_ends_after_the_last_tick(
    state: JobState, offsets: Sequence[tuple[int, int]]
) -> None:
    moments = moments_of(state, offsets)
    cursors = serve(state, moments).cursors
    known = [cursor for cursor in cursors if cursor is not None]
    assert known == sorted(set(known))
    assert cursors[-1] is None or cursors[-1] > moments[-1][0]
    assert None not in cursors[:-1]


@few
@given(states(), ticks)
def test_a_missed_row_lies_wholly_before_the_slot_that_runs_and_counts_what_it_spans(
    state: JobState, offsets: Sequence[tuple[int, int]]
) -> None:
    now, starts_at = moments_of(state, offsets)[-1]
    found = plan(state, now, language, starts_at=starts_at)
    if found.missed is not None:
        assert found.missed.first == state.next_run_at
        assert found.missed.count == len(list(slots_between(state, found.missed.first, found.missed.last)))
        assert found.missed.superseded == (found.slot is not None)
        assert found.slot is None or found.missed.last < found.slot
    assert found.slot is not None or found.missed is not None
    assert found.next_run_at is None or found.slot is None or found.slot < found.next_run_at
    assert found.following is None or now < found.following
    assert found.next_run_at == found.following or (found.next_run_at is not None and found.next_run_at <= now)


@pytest.mark.slow
@few
@given(states(catch_up=["latest", "all"], lateness=False), ticks, ticks)
def test_the_accounted_slots_do_not_depend_on_when_the_ticks_came(
    state: JobState, one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]
) -> None:
    end = max(one[-1], other[-1])
    histories = [serve(state, moments_of(state, [*offsets, end])) for offsets in (one, other)]
    assert histories[0].accounted(state) == histories[1].accounted(state)
    assert histories[0].cursors[-1] == histories[1].cursors[-1]


@few
@given(states(catch_up=["all"], lateness=False), few_ticks)
def test_with_catch_up_all_and_a_limit_that_is_never_reached_every_slot_runs(
    state: JobState, offsets: Sequence[tuple[int, int]]
) -> None:
    state = replace(state, job=replace(state.job, catch_up_limit=1_000))
    moments = moments_of(state, offsets)
    start = state.next_run_at
    assert start is not None
    expected = list(slots_between(state, start, moments[-1][0]))
    history = serve(state, moments)
    assert history.ran == expected
    assert history.missed == []


@few
@given(states(catch_up=["all"]), ticks)
def test_one_tick_never_runs_more_slots_than_the_limit(state: JobState, offsets: Sequence[tuple[int, int]]) -> None:
    assert len(serve(state, moments_of(state, offsets)[-1:]).ran) <= state.job.catch_up_limit


@few
@given(states(catch_up=["latest", "none"]), ticks)
def test_one_tick_runs_at_most_one_slot_and_it_is_the_newest(
    state: JobState, offsets: Sequence[tuple[int, int]]
) -> None:
    now, starts_at = moments_of(state, offsets)[-1]
    found = plan(state, now, language, starts_at=starts_at)
    start = state.next_run_at
    assert start is not None
    newest = list(slots_between(state, start, now))[-1]
    assert found.slot in (None, newest)
    assert found.next_run_at is None or found.next_run_at > now


@few
@given(states(), ticks)
def test_no_slot_that_is_older_than_allowed_runs(state: JobState, offsets: Sequence[tuple[int, int]]) -> None:
    now, starts_at = moments_of(state, offsets)[-1]
    found = plan(state, now, language, starts_at=starts_at)
    limit = state.job.max_lateness_sec
    if found.slot is not None and limit is not None:
        assert (starts_at - found.slot).total_seconds() <= limit
    if found.slot is None:
        assert limit is not None or state.job.catch_up == "none"


@few
@given(states(), ticks)
def test_a_change_of_the_job_writes_off_the_slots_that_ticks_would_have_served(
    state: JobState, offsets: Sequence[tuple[int, int]]
) -> None:
    now, _ = moments_of(state, offsets)[-1]
    dropped = skip_all(state, now, language, "changed")
    assert dropped is not None
    assert dropped.count == serve(state, [(now, now)]).count


@few
@given(st.sampled_from(ZONES), st.integers(0, 400 * 86_400))
def test_a_year_without_a_tick_is_counted_exactly(zone: str, seconds: int) -> None:
    start = at("2025-02-01 00:00")
    first = language.next_fire("30 2 * * *", zone, start)
    assert first is not None
    state = make_state(first, zone=zone, schedule="30 2 * * *")
    now = first + timedelta(seconds=seconds)
    found = plan(state, now, language)
    missed = found.missed.count if found.missed else 0
    assert missed + 1 == len(list(slots_between(state, first, now)))
