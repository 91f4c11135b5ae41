"""Courses side by side: in which order they go on, what wakes them, and who hears what of a write."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.boundary import Outcome, outcome_of
from core.errors import DatabaseLocked, LeaseLost
from scheduling.task_loop import DEFERRED_SEC, TaskLoop
from system.awaitables import Task, run_blocking, wait, write
from tests.workspace import FakeClock


class LeapStop:
    """Its waits move the clock; its descriptor is a real one, because it is polled."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.waited: list[float] = []
        self._asked = False
        self._read, self._write = os.pipe()

    def set(self) -> None:
        self._asked = True
        os.write(self._write, b"x")

    def is_set(self) -> bool:
        return self._asked

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        # The clock knows no less than a microsecond, and a wait that is over too early would be repeated for ever.
        self.clock.advance(seconds=max(seconds, 1e-6) if seconds > 0 else 0)
        return self._asked

    def descriptors(self) -> list[int]:
        return [self._read]

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@dataclass
class FakeLedger:
    """Does each piece of work; how many there were in each commit."""

    commits: list[int] = field(default_factory=list)

    def group_commit(self, works: Sequence[Callable[[], Any]]) -> list[Outcome]:
        self.commits.append(len(works))
        return [outcome_of(work) for work in works]


class Bench:
    """Courses over fakes; `log` is what they said, `ended` what became of them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stop = LeapStop(self.clock)
        self.ledger = FakeLedger()
        self.loop = TaskLoop(self.ledger, self.clock, self.stop)
        self.log: list[str] = []
        self.ended: dict[str, Outcome] = {}

    def begin(self, name: str, task: Task[Any]) -> None:
        self.loop.spawn(task, lambda done: self.ended.update({name: done}))

    def say(self, text: str) -> Callable[[], str]:
        def work() -> str:
            self.log.append(text)
            return text

        return work

    def all(self, *, turns: int = 200) -> None:
        """Turns until every course is over."""
        for _ in range(turns):
            if not self.loop:
                return
            self.loop.run_once(None)
        raise AssertionError(f"{len(self.loop)} courses go on: {self.log}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.stop.close()


def raises(error: Exception) -> Callable[[], Any]:
    def work() -> Any:
        raise error

    return work


# --- order and alarms ---


def test_courses_go_on_in_the_order_of_their_alarms_and_then_of_their_beginning(bench: Bench) -> None:
    async def sleeper(name: str, seconds: float) -> None:
        await wait(seconds)
        bench.log.append(name)

    for name, seconds in [("late", 2.0), ("first", 1.0), ("second", 1.0), ("at once", 0.0)]:
        bench.begin(name, sleeper(name, seconds))
    bench.all()
    assert bench.log == ["at once", "first", "second", "late"]
    assert bench.clock.elapsed == pytest.approx(1002)


def test_a_turn_waits_no_longer_than_it_was_told_nor_beyond_the_next_alarm(bench: Bench) -> None:
    async def sleeper() -> None:
        await wait(5)

    bench.begin("sleeper", sleeper())
    bench.loop.run_once(2)
    bench.loop.run_once(60)
    assert bench.stop.waited == pytest.approx([2, 3])
    assert "sleeper" in bench.ended


def test_an_alarm_of_an_earlier_wait_wakes_nobody(bench: Bench) -> None:
    """The first wait is over because something could be read; its alarm comes while the second goes on."""
    read, wrote = os.pipe()

    async def reader() -> str:
        await wait(10, read)
        os.read(read, 1)
        began = bench.clock.elapsed
        await wait(100)
        return f"{bench.clock.elapsed - began:.0f}"

    bench.begin("reader", reader())
    os.write(wrote, b"x")
    bench.loop.run_once(0)
    bench.all()
    os.close(read)
    os.close(wrote)
    assert bench.ended["reader"].value == "100"


class Watched:
    """A poll that tells what it looks at."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.looks_at: set[int] = set()

    def register(self, descriptor: int, events: int) -> None:
        self.looks_at.add(descriptor)
        self._poll.register(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        self.looks_at.remove(descriptor)
        self._poll.unregister(descriptor)

    def poll(self, milliseconds: int) -> list[tuple[int, int]]:
        return self._poll.poll(milliseconds)


def test_a_wait_for_a_descriptor_ends_by_its_alarm_too_and_leaves_nothing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor that can be read and is still looked at would keep every later turn from waiting."""
    read, wrote = os.pipe()
    poll = Watched()
    monkeypatch.setattr(select, "poll", lambda: poll)
    bench.loop = TaskLoop(bench.ledger, bench.clock, bench.stop)

    async def reader() -> None:
        await wait(0, read)
        await wait(0, read)

    bench.begin("reader", reader())
    assert poll.looks_at == {read, *bench.stop.descriptors()}
    for _ in range(2):
        bench.loop.run_once(0)
    assert "reader" in bench.ended
    assert poll.looks_at == set(bench.stop.descriptors())
    bench.loop.run_once(1)
    assert bench.stop.waited == [1], "a stop waits for itself where there is nothing else"
    os.close(read)
    os.close(wrote)


def test_one_that_waits_for_no_time_lets_others_go_on(bench: Bench) -> None:
    rounds = 0

    async def busy() -> None:
        nonlocal rounds
        while "other" not in bench.ended:
            rounds += 1
            assert rounds < 50, "it has the turn for itself"
            await wait(0)

    async def other() -> None:
        for _ in range(3):
            await write(bench.say("other"))

    bench.begin("busy", busy())
    bench.begin("other", other())
    bench.all()
    assert bench.ended["busy"].error is None


def test_who_listens_hears_as_long_as_there_is_something_to_read(bench: Bench) -> None:
    read, wrote = os.pipe()
    heard: list[bytes] = []
    bench.loop.listen(read, lambda: heard.append(os.read(read, 1)))
    os.write(wrote, b"ab")
    for _ in range(3):
        bench.loop.run_once(0)
    bench.loop.unlisten(read)
    bench.loop.unlisten(read)
    os.write(wrote, b"c")
    bench.loop.run_once(0)
    assert heard == [b"a", b"b"]
    os.close(read)
    os.close(wrote)


# --- a stop ---


def test_a_stop_wakes_all_that_wait_with_one_and_nobody_else(bench: Bench) -> None:
    read, wrote = os.pipe()

    async def stoppable(descriptor: int | None) -> float:
        await wait(50, descriptor, bench.stop)
        # From now on it is known, and no wait with it is one.
        await wait(50, None, bench.stop)
        return bench.clock.elapsed

    async def deaf() -> float:
        await wait(50)
        return bench.clock.elapsed

    bench.begin("plain", stoppable(None))
    bench.begin("reader", stoppable(read))
    bench.begin("deaf", deaf())
    bench.stop.set()
    bench.loop.run_once(None)
    assert {name: done.value for name, done in bench.ended.items()} == {"plain": 1000, "reader": 1000}
    bench.clock.advance(seconds=50)
    bench.loop.run_once(0)
    assert bench.ended["deaf"].value == 1050
    os.close(read)
    os.close(wrote)


def test_a_stop_that_is_known_wakes_nobody_a_second_time(bench: Bench) -> None:
    async def obstinate() -> int:
        rounds = 0
        until = bench.clock.elapsed + 1
        while bench.clock.elapsed < until:
            rounds += 1
            await wait(1)
        return rounds

    bench.begin("obstinate", obstinate())
    bench.stop.set()
    for _ in range(5):
        bench.loop.run_once(0)
    bench.clock.advance(seconds=1)
    bench.loop.run_once(0)
    assert bench.ended["obstinate"].value == 1


# --- writes ---


def test_writes_of_several_courses_and_of_nobody_are_one_commit(bench: Bench) -> None:
    async def writer(name: str) -> str:
        return await write(bench.say(name)) or ""

    told: list[Outcome] = []
    bench.begin("a", writer("a"))
    bench.loop.write(bench.say("nobody's"), told.append)
    bench.begin("b", writer("b"))
    assert (bench.log, bench.loop.writes) == ([], 3)
    bench.loop.run_once(0)
    assert (bench.ledger.commits, bench.log) == ([3], ["a", "nobody's", "b"])
    assert {name: done.value for name, done in bench.ended.items()} == {"a": "a", "b": "b"}
    assert told == [Outcome("nobody's", None)]


def test_what_went_on_by_a_commit_and_writes_again_waits_for_nothing_else(bench: Bench) -> None:
    async def writer() -> None:
        await write(bench.say("one"))
        await write(bench.say("two"))

    bench.begin("writer", writer())
    bench.loop.run_once(None)
    assert bench.log == ["one"], "the poll of this turn has to return at once"
    bench.loop.run_once(None)
    assert "writer" in bench.ended
    assert bench.clock.elapsed == 1000


def test_nothing_is_waited_for_when_a_commit_has_ended_the_last_course(bench: Bench) -> None:
    async def loser() -> None:
        await write(raises(LeaseLost("gone")), deferred=True)
        await wait(1000)

    bench.begin("loser", loser())
    bench.clock.advance(seconds=DEFERRED_SEC)
    bench.loop.run_once(None)
    assert isinstance(bench.ended["loser"].error, LeaseLost)
    assert sum(bench.stop.waited) == 0


def test_a_lazy_write_holds_nobody_up_and_goes_with_the_next_commit(bench: Bench) -> None:
    async def deferred() -> None:
        assert await write(bench.say("lazy"), deferred=True) is None
        bench.log.append("went on")
        await wait(60)

    async def eager() -> None:
        await write(bench.say("eager"))

    bench.begin("lazy", deferred())
    assert (bench.log, bench.loop.writes) == (["went on"], 0)
    bench.begin("eager", eager())
    bench.loop.run_once(0)
    assert (bench.ledger.commits, bench.log) == ([2], ["went on", "lazy", "eager"])


def test_a_deferred_write_that_no_other_follows_is_committed_alone_in_time(bench: Bench) -> None:
    async def deferred() -> None:
        await write(bench.say("first"), deferred=True)
        bench.clock.advance(seconds=DEFERRED_SEC / 2)
        await write(bench.say("second"), deferred=True)
        await wait(60)

    bench.begin("lazy", deferred())
    bench.loop.run_once(None)
    assert bench.ledger.commits == []
    bench.loop.run_once(0)
    assert bench.ledger.commits == [2]
    assert sum(bench.stop.waited) == pytest.approx(DEFERRED_SEC / 2), "the first of them says when"
    bench.clock.advance(seconds=1)
    bench.loop.run_once(0)
    assert bench.ledger.commits == [2], "nothing is left to write"


def test_a_lazy_write_of_a_course_that_is_over_is_committed_and_told_to_nobody(bench: Bench) -> None:
    async def deferred() -> None:
        await write(bench.say("lazy"), deferred=True)
        await write(raises(LeaseLost("gone")), deferred=True)

    bench.begin("lazy", deferred())
    bench.clock.advance(seconds=DEFERRED_SEC)
    bench.loop.run_once(0)
    assert bench.log == ["lazy"]
    assert bench.ended == {"lazy": Outcome(None, None)}


def test_a_write_that_fails_is_raised_only_in_its_own_task(bench: Bench) -> None:
    async def writer(work: Callable[[], Any]) -> str:
        try:
            return str(await write(work))
        except DatabaseLocked as error:
            return f"heard: {error.message}"

    bench.begin("bad", writer(raises(DatabaseLocked("busy"))))
    bench.begin("good", writer(bench.say("fine")))
    bench.loop.run_once(0)
    assert {name: done.value for name, done in bench.ended.items()} == {"bad": "heard: busy", "good": "fine"}


def test_whoever_fails_to_hear_of_a_write_takes_nobodys_answer_away(bench: Bench) -> None:
    def fails(_done: Outcome) -> None:
        raise ValueError("a fault of ours")

    async def writer() -> None:
        await write(bench.say("b"))

    bench.loop.write(bench.say("a"), fails)
    bench.begin("writer", writer())
    with pytest.raises(ValueError, match="a fault of ours"):
        bench.loop.run_once(0)
    assert "writer" in bench.ended


# --- a lost lease ---


@pytest.mark.parametrize("place", ["a wait", "a write in the same commit", "a wait for a descriptor"])
def test_a_lost_lease_of_a_lazy_write_reaches_the_course_where_it_stands(bench: Bench, place: str) -> None:
    read, wrote = os.pipe()

    async def stand() -> None:
        if place == "a wait":
            await wait(60)
        elif place == "a wait for a descriptor":
            await wait(60, read)
        else:
            await write(bench.say("its own"))

    async def loser() -> str:
        await write(raises(LeaseLost("settled by somebody else")), deferred=True)
        try:
            await stand()
        except LeaseLost:
            bench.log.append("lost")
            # What it does then is as good as any other wait and write.
            await wait(1)
            return await write(bench.say("cleaned")) or ""
        return "never heard"

    bench.begin("loser", loser())
    bench.clock.advance(seconds=DEFERRED_SEC)
    bench.all()
    assert bench.ended["loser"] == Outcome("cleaned", None)
    own = ["its own"] if place == "a write in the same commit" else []
    assert bench.log == [*own, "lost", "cleaned"]
    os.close(read)
    os.close(wrote)


def test_the_answer_to_a_write_that_a_lost_lease_has_overtaken_is_no_answer_to_the_next(bench: Bench) -> None:
    """Both are of one commit: the course has left the first write when that is answered, and waits for another."""

    async def loser() -> object:
        await write(raises(LeaseLost("gone")), deferred=True)
        try:
            await write(lambda: "old")
        except LeaseLost:
            return await write(lambda: "new")
        return "never heard"

    bench.begin("loser", loser())
    bench.all()
    assert bench.ended["loser"].value == "new"
    assert bench.ledger.commits == [2, 1]


def test_any_other_fault_of_a_lazy_write_is_not_heard(bench: Bench) -> None:
    async def deferred() -> str:
        await write(raises(DatabaseLocked("busy")), deferred=True)
        return await write(bench.say("went on")) or ""

    bench.begin("lazy", deferred())
    bench.all()
    assert bench.ended["lazy"].value == "went on"


# --- one course hurts no other ---


def test_an_exception_in_one_course_hurts_no_other(bench: Bench) -> None:
    async def bad() -> None:
        await wait(1)
        raise ZeroDivisionError("its own")

    async def good() -> str:
        await wait(1)
        return await write(bench.say("fine")) or ""

    for name, task in [("good-1", good()), ("bad", bad()), ("good-2", good())]:
        bench.begin(name, task)
    bench.all()
    assert isinstance(bench.ended["bad"].error, ZeroDivisionError)
    assert [bench.ended[name].value for name in ("good-1", "good-2")] == ["fine", "fine"]
    assert len(bench.loop) == 0


def test_one_that_fails_at_once_is_over_when_it_has_begun(bench: Bench) -> None:
    async def bad() -> None:
        raise ZeroDivisionError

    bench.begin("bad", bad())
    assert isinstance(bench.ended["bad"].error, ZeroDivisionError)
    assert not bench.loop


def test_one_course_may_begin_another_when_it_ends(bench: Bench) -> None:
    async def second() -> str:
        await wait(1)
        return "second"

    async def first() -> str:
        return await write(lambda: "first") or ""

    def then(done: Outcome) -> None:
        bench.ended["first"] = done
        bench.begin("second", second())

    bench.loop.spawn(first(), then)
    bench.all()
    assert [done.value for done in bench.ended.values()] == ["first", "second"]


# --- alone and together it is the same ---

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.003, 1.0])),
        st.tuples(st.just("wait with a stop"), st.sampled_from([0.0, 1.0])),
        st.tuples(st.sampled_from(["write", "lazy"]), st.sampled_from(["fine", "locked", "fault", "lost"])),
    ),
    max_size=7,
)


class Scripted:
    """A course of given steps on a clock; `seen` is all that it got to see, `stored` what it has written."""

    def __init__(self, steps: Sequence[tuple[str, Any]], clock: FakeClock, stop: LeapStop) -> None:
        self.steps, self.clock, self.stop = steps, clock, stop
        self.seen: list[object] = []
        self.stored: list[object] = []

    async def task(self) -> list[object]:
        for number, (kind, what) in enumerate(self.steps):
            if kind == "wait":
                self.seen.append(await wait(what, blocking_wait=lambda seconds: self.clock.advance(seconds=seconds)))  # type: ignore[func-returns-value]
            elif kind == "wait with a stop":
                self.seen.append(await wait(what, stop=self.stop))  # type: ignore[func-returns-value]
            else:
                self.seen.append(await self._write(number, what, deferred=kind == "lazy"))
        # As the verdict of a run: the last word is one that is waited for.
        return [*self.seen, await write(self._work(-1, "fine"))]

    async def _write(self, number: int, what: str, *, deferred: bool) -> object:
        try:
            return await write(self._work(number, what), deferred=deferred)
        except DatabaseLocked as error:
            return error.message

    def _work(self, number: int, what: str) -> Callable[[], object]:
        def work() -> object:
            if what == "fine":
                self.stored.append(number)
                return number
            raise {"locked": DatabaseLocked("busy"), "fault": ValueError("ours"), "lost": LeaseLost("gone")}[what]

        return work


def outcome(done: Outcome) -> object:
    return done.value if done.error is None else type(done.error)


@given(st.lists(STEPS, min_size=1, max_size=4))
def test_a_task_ends_the_same_way_alone_and_among_others(scripts: list[list[tuple[str, Any]]]) -> None:
    bench = Bench()
    try:
        beside = [Scripted(steps, bench.clock, bench.stop) for steps in scripts]
        for number, scripted in enumerate(beside):
            bench.begin(str(number), scripted.task())
        bench.all()
        for number, scripted in enumerate(beside):
            alone = Scripted(scripted.steps, bench.clock, bench.stop)
            done = outcome_of(lambda alone=alone: run_blocking(alone.task()))  # type: ignore[misc]
            group_commit = bench.ended[str(number)]
            if ("lazy", "lost") not in scripted.steps:
                assert outcome(group_commit) == outcome(done)
                assert scripted.stored == alone.stored
            else:
                # It hears of that later, and may meet another fault before; it never comes to a good end.
                assert isinstance(done.error, Exception)
                assert isinstance(group_commit.error, Exception)
    finally:
        bench.stop.close()
