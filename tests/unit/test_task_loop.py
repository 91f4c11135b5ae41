"""The task loop: the order in which tasks are resumed, what wakes them, and the outcomes of their writes."""

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
    """A stop whose waits move the clock. Its descriptor is a real one, because it is polled."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.waited: list[float] = []
        self._is_set = False
        self._read, self._write = os.pipe()

    def set(self) -> None:
        self._is_set = True
        os.write(self._write, b"x")

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        # The clock knows no less than a microsecond, and a wait that is over too early would be repeated for ever.
        self.clock.advance(seconds=max(seconds, 1e-6) if seconds > 0 else 0)
        return self._is_set

    def descriptors(self) -> list[int]:
        return [self._read]

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@dataclass
class FakeLedger:
    """Calls each write. `commits` holds the number of writes in each commit."""

    commits: list[int] = field(default_factory=list)

    def group_commit(self, works: Sequence[Callable[[], Any]]) -> list[Outcome]:
        self.commits.append(len(works))
        return [outcome_of(work) for work in works]


class Bench:
    """A task loop over fakes. `log` holds what the tasks wrote, `ended` their outcomes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stop = LeapStop(self.clock)
        self.ledger = FakeLedger()
        self.loop = TaskLoop(self.ledger, self.clock, self.stop)
        self.log: list[str] = []
        self.ended: dict[str, Outcome] = {}

    def spawn(self, name: str, task: Task[Any]) -> None:
        self.loop.spawn(task, lambda done: self.ended.update({name: done}))

    def say(self, text: str) -> Callable[[], str]:
        def work() -> str:
            self.log.append(text)
            return text

        return work

    def run_all(self, *, passes: int = 200) -> None:
        """Runs the loop until every task has ended."""
        for _ in range(passes):
            if not self.loop:
                return
            self.loop.run_once(None)
        raise AssertionError(f"{len(self.loop)} tasks are still running: {self.log}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.stop.close()


def raises(error: Exception) -> Callable[[], Any]:
    def work() -> Any:
        raise error

    return work


# --- order and wake times ---


def test_tasks_are_resumed_in_the_order_of_their_wake_times_and_then_of_their_start(bench: Bench) -> None:
    async def sleeper(name: str, seconds: float) -> None:
        await wait(seconds)
        bench.log.append(name)

    for name, seconds in [("late", 2.0), ("first", 1.0), ("second", 1.0), ("at once", 0.0)]:
        bench.spawn(name, sleeper(name, seconds))
    bench.run_all()
    assert bench.log == ["at once", "first", "second", "late"]
    assert bench.clock.elapsed == pytest.approx(1002)


def test_a_pass_waits_no_longer_than_its_timeout_and_the_next_wake_time(bench: Bench) -> None:
    async def sleeper() -> None:
        await wait(5)

    bench.spawn("sleeper", sleeper())
    bench.loop.run_once(2)
    bench.loop.run_once(60)
    assert bench.stop.waited == pytest.approx([2, 3])
    assert "sleeper" in bench.ended


def test_the_wake_time_of_an_earlier_wait_is_ignored(bench: Bench) -> None:
    """The first wait ends because the descriptor is readable; its wake time comes during the second wait."""
    read, wrote = os.pipe()

    async def reader() -> str:
        await wait(10, read)
        os.read(read, 1)
        began = bench.clock.elapsed
        await wait(100)
        return f"{bench.clock.elapsed - began:.0f}"

    bench.spawn("reader", reader())
    os.write(wrote, b"x")
    bench.loop.run_once(0)
    bench.run_all()
    os.close(read)
    os.close(wrote)
    assert bench.ended["reader"].value == "100"


class RecordingPoll:
    """A poll whose registered descriptors are in `registered`."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.registered: set[int] = set()

    def register(self, descriptor: int, events: int) -> None:
        self.registered.add(descriptor)
        self._poll.register(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        self.registered.remove(descriptor)
        self._poll.unregister(descriptor)

    def poll(self, milliseconds: int) -> list[tuple[int, int]]:
        return self._poll.poll(milliseconds)


def test_a_wait_for_a_descriptor_that_times_out_is_no_longer_polled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it were still polled, a readable descriptor would keep every later pass from waiting."""
    read, wrote = os.pipe()
    poll = RecordingPoll()
    monkeypatch.setattr(select, "poll", lambda: poll)
    bench.loop = TaskLoop(bench.ledger, bench.clock, bench.stop)

    async def reader() -> None:
        await wait(0, read)
        await wait(0, read)

    bench.spawn("reader", reader())
    assert poll.registered == {read, *bench.stop.descriptors()}
    for _ in range(2):
        bench.loop.run_once(0)
    assert "reader" in bench.ended
    assert poll.registered == set(bench.stop.descriptors())
    bench.loop.run_once(1)
    assert bench.stop.waited == [1], "the stop does the waiting if there is nothing else to wait for"
    os.close(read)
    os.close(wrote)


def test_a_task_that_waits_for_0_s_lets_the_others_run(bench: Bench) -> None:
    rounds = 0

    async def busy() -> None:
        nonlocal rounds
        while "other" not in bench.ended:
            rounds += 1
            assert rounds < 50, "it keeps the others from running"
            await wait(0)

    async def other() -> None:
        for _ in range(3):
            await write(bench.say("other"))

    bench.spawn("busy", busy())
    bench.spawn("other", other())
    bench.run_all()
    assert bench.ended["busy"].error is None


def test_a_listener_is_called_as_long_as_its_descriptor_is_readable(bench: Bench) -> None:
    read, wrote = os.pipe()
    received: list[bytes] = []
    bench.loop.listen(read, lambda: received.append(os.read(read, 1)))
    os.write(wrote, b"ab")
    for _ in range(3):
        bench.loop.run_once(0)
    bench.loop.unlisten(read)
    bench.loop.unlisten(read)
    os.write(wrote, b"c")
    bench.loop.run_once(0)
    assert received == [b"a", b"b"]
    os.close(read)
    os.close(wrote)


# --- a stop ---


def test_a_stop_wakes_the_tasks_that_wait_with_it_and_no_others(bench: Bench) -> None:
    read, wrote = os.pipe()

    async def stoppable(descriptor: int | None) -> float:
        await wait(50, descriptor, bench.stop)
        # The stop is set by now, so this does not wait.
        await wait(50, None, bench.stop)
        return bench.clock.elapsed

    async def deaf() -> float:
        await wait(50)
        return bench.clock.elapsed

    bench.spawn("plain", stoppable(None))
    bench.spawn("reader", stoppable(read))
    bench.spawn("deaf", deaf())
    bench.stop.set()
    bench.loop.run_once(None)
    assert {name: done.value for name, done in bench.ended.items()} == {"plain": 1000, "reader": 1000}
    bench.clock.advance(seconds=50)
    bench.loop.run_once(0)
    assert bench.ended["deaf"].value == 1050
    os.close(read)
    os.close(wrote)


def test_a_stop_wakes_tasks_only_once(bench: Bench) -> None:
    async def obstinate() -> int:
        rounds = 0
        until = bench.clock.elapsed + 1
        while bench.clock.elapsed < until:
            rounds += 1
            await wait(1)
        return rounds

    bench.spawn("obstinate", obstinate())
    bench.stop.set()
    for _ in range(5):
        bench.loop.run_once(0)
    bench.clock.advance(seconds=1)
    bench.loop.run_once(0)
    assert bench.ended["obstinate"].value == 1


# --- writes ---


def test_writes_of_several_tasks_and_of_the_caller_are_one_commit(bench: Bench) -> None:
    async def writer(name: str) -> str:
        return await write(bench.say(name)) or ""

    outcomes: list[Outcome] = []
    bench.spawn("a", writer("a"))
    bench.loop.write(bench.say("nobody's"), outcomes.append)
    bench.spawn("b", writer("b"))
    assert (bench.log, bench.loop.writes) == ([], 3)
    bench.loop.run_once(0)
    assert (bench.ledger.commits, bench.log) == ([3], ["a", "nobody's", "b"])
    assert {name: done.value for name, done in bench.ended.items()} == {"a": "a", "b": "b"}
    assert outcomes == [Outcome("nobody's", None)]


def test_a_task_that_writes_again_after_a_commit_does_not_wait(bench: Bench) -> None:
    async def writer() -> None:
        await write(bench.say("one"))
        await write(bench.say("two"))

    bench.spawn("writer", writer())
    bench.loop.run_once(None)
    assert bench.log == ["one"], "the poll of this pass must return at once"
    bench.loop.run_once(None)
    assert "writer" in bench.ended
    assert bench.clock.elapsed == 1000


def test_a_pass_does_not_wait_after_a_commit_that_ended_the_last_task(bench: Bench) -> None:
    async def loser() -> None:
        await write(raises(LeaseLost("gone")), deferred=True)
        await wait(1000)

    bench.spawn("loser", loser())
    bench.clock.advance(seconds=DEFERRED_SEC)
    bench.loop.run_once(None)
    assert isinstance(bench.ended["loser"].error, LeaseLost)
    assert sum(bench.stop.waited) == 0


def test_a_deferred_write_does_not_delay_its_task_and_goes_with_the_next_commit(bench: Bench) -> None:
    async def deferred() -> None:
        assert await write(bench.say("deferred"), deferred=True) is None
        bench.log.append("resumed")
        await wait(60)

    async def eager() -> None:
        await write(bench.say("eager"))

    bench.spawn("deferred", deferred())
    assert (bench.log, bench.loop.writes) == (["resumed"], 0)
    bench.spawn("eager", eager())
    bench.loop.run_once(0)
    assert (bench.ledger.commits, bench.log) == ([2], ["resumed", "deferred", "eager"])


def test_a_deferred_write_that_no_other_follows_is_committed_alone_in_time(bench: Bench) -> None:
    async def deferred() -> None:
        await write(bench.say("first"), deferred=True)
        bench.clock.advance(seconds=DEFERRED_SEC / 2)
        await write(bench.say("second"), deferred=True)
        await wait(60)

    bench.spawn("deferred", deferred())
    bench.loop.run_once(None)
    assert bench.ledger.commits == []
    bench.loop.run_once(0)
    assert bench.ledger.commits == [2]
    assert sum(bench.stop.waited) == pytest.approx(DEFERRED_SEC / 2), "the first of them sets the time"
    bench.clock.advance(seconds=1)
    bench.loop.run_once(0)
    assert bench.ledger.commits == [2], "nothing is left to write"


def test_a_deferred_write_of_a_task_that_has_ended_is_committed(bench: Bench) -> None:
    async def deferred() -> None:
        await write(bench.say("deferred"), deferred=True)
        await write(raises(LeaseLost("gone")), deferred=True)

    bench.spawn("deferred", deferred())
    bench.clock.advance(seconds=DEFERRED_SEC)
    bench.loop.run_once(0)
    assert bench.log == ["deferred"]
    assert bench.ended == {"deferred": Outcome(None, None)}


def test_a_write_that_fails_is_raised_only_in_its_own_task(bench: Bench) -> None:
    async def writer(work: Callable[[], Any]) -> str:
        try:
            return str(await write(work))
        except DatabaseLocked as error:
            return f"raised: {error.message}"

    bench.spawn("bad", writer(raises(DatabaseLocked("busy"))))
    bench.spawn("good", writer(bench.say("fine")))
    bench.loop.run_once(0)
    assert {name: done.value for name, done in bench.ended.items()} == {"bad": "raised: busy", "good": "fine"}


def test_if_one_callback_raises_the_other_tasks_get_their_outcomes(bench: Bench) -> None:
    def fails(_done: Outcome) -> None:
        raise ValueError("a bug")

    async def writer() -> None:
        await write(bench.say("b"))

    bench.loop.write(bench.say("a"), fails)
    bench.spawn("writer", writer())
    with pytest.raises(ValueError, match="a bug"):
        bench.loop.run_once(0)
    assert "writer" in bench.ended


# --- a lost lease ---


@pytest.mark.parametrize("place", ["a wait", "a write in the same commit", "a wait for a descriptor"])
def test_a_lost_lease_of_a_deferred_write_is_raised_wherever_the_task_waits(bench: Bench, place: str) -> None:
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
            # After that it can wait and write as before.
            await wait(1)
            return await write(bench.say("cleaned")) or ""
        return "never raised"

    bench.spawn("loser", loser())
    bench.clock.advance(seconds=DEFERRED_SEC)
    bench.run_all()
    assert bench.ended["loser"] == Outcome("cleaned", None)
    own = ["its own"] if place == "a write in the same commit" else []
    assert bench.log == [*own, "lost", "cleaned"]
    os.close(read)
    os.close(wrote)


def test_the_outcome_of_a_write_that_a_lost_lease_interrupted_is_not_given_to_the_next_write(bench: Bench) -> None:
    """Both are in one commit: when the outcome of the first write comes, the task already waits for another."""

    async def loser() -> object:
        await write(raises(LeaseLost("gone")), deferred=True)
        try:
            await write(lambda: "old")
        except LeaseLost:
            return await write(lambda: "new")
        return "never raised"

    bench.spawn("loser", loser())
    bench.run_all()
    assert bench.ended["loser"].value == "new"
    assert bench.ledger.commits == [2, 1]


def test_any_other_error_of_a_deferred_write_is_not_raised(bench: Bench) -> None:
    async def deferred() -> str:
        await write(raises(DatabaseLocked("busy")), deferred=True)
        return await write(bench.say("resumed")) or ""

    bench.spawn("deferred", deferred())
    bench.run_all()
    assert bench.ended["deferred"].value == "resumed"


# --- a task that fails ---


def test_an_exception_in_one_task_does_not_stop_the_others(bench: Bench) -> None:
    async def bad() -> None:
        await wait(1)
        raise ZeroDivisionError("its own")

    async def good() -> str:
        await wait(1)
        return await write(bench.say("fine")) or ""

    for name, task in [("good-1", good()), ("bad", bad()), ("good-2", good())]:
        bench.spawn(name, task)
    bench.run_all()
    assert isinstance(bench.ended["bad"].error, ZeroDivisionError)
    assert [bench.ended[name].value for name in ("good-1", "good-2")] == ["fine", "fine"]
    assert len(bench.loop) == 0


def test_a_task_that_fails_before_its_first_wait_has_ended_after_spawn(bench: Bench) -> None:
    async def bad() -> None:
        raise ZeroDivisionError

    bench.spawn("bad", bad())
    assert isinstance(bench.ended["bad"].error, ZeroDivisionError)
    assert not bench.loop


def test_a_task_can_be_spawned_when_another_ends(bench: Bench) -> None:
    async def second() -> str:
        await wait(1)
        return "second"

    async def first() -> str:
        return await write(lambda: "first") or ""

    def then(done: Outcome) -> None:
        bench.ended["first"] = done
        bench.spawn("second", second())

    bench.loop.spawn(first(), then)
    bench.run_all()
    assert [done.value for done in bench.ended.values()] == ["first", "second"]


# --- alone and with others ---

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.003, 1.0])),
        st.tuples(st.just("wait with a stop"), st.sampled_from([0.0, 1.0])),
        st.tuples(st.sampled_from(["write", "deferred"]), st.sampled_from(["fine", "locked", "fault", "lost"])),
    ),
    max_size=7,
)


class Scripted:
    """A task of given steps. `seen` holds the results of its waits and writes, `stored` what it has written."""

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
                self.seen.append(await self._write(number, what, deferred=kind == "deferred"))
        # Like a run with its verdict, it ends with a write that it waits for.
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
        scripted_tasks = [Scripted(steps, bench.clock, bench.stop) for steps in scripts]
        for number, scripted in enumerate(scripted_tasks):
            bench.spawn(str(number), scripted.task())
        bench.run_all()
        for number, scripted in enumerate(scripted_tasks):
            alone = Scripted(scripted.steps, bench.clock, bench.stop)
            done = outcome_of(lambda alone=alone: run_blocking(alone.task()))  # type: ignore[misc]
            group_commit = bench.ended[str(number)]
            if ("deferred", "lost") not in scripted.steps:
                assert outcome(group_commit) == outcome(done)
                assert scripted.stored == alone.stored
            else:
                # The lease is lost later then, and another error may come first. But it never succeeds.
                assert isinstance(done.error, Exception)
                assert isinstance(group_commit.error, Exception)
    finally:
        bench.stop.close()
