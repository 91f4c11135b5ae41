"""Group commit on a real file: a write that fails is rolled back alone, and a lost group is written again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core import crash_points
from core.boundary import Outcome
from core.errors import DatabaseError, DatabaseFull, DatabaseLocked, LeaseLost
from db import Database
from store.creation import create
from store.group_commit import group_commit
from tests.support_machine import fill, small_disk


class Bench:
    """An extra table of notes, and the statements that SQLite got."""

    def __init__(self, path: str) -> None:
        self.db, _ = create(path)
        self.db.run("CREATE TABLE notes (note TEXT UNIQUE) STRICT")
        self.asked: list[str] = []
        self.db.connection.set_trace_callback(self.asked.append)

    def notes(self) -> list[str]:
        """The notes as another process reads them."""
        with closing(sqlite3.connect(self.db.path)) as other:
            return [note for (note,) in other.execute("SELECT note FROM notes ORDER BY rowid")]

    def count(self, statement: str) -> int:
        return sum(asked.startswith(statement) for asked in self.asked)

    def add(self, note: str, *, then: Exception | None = None, name: str = "test") -> Callable[[], str]:
        """A write of a note, which may fail after it."""

        def work() -> str:
            with self.db.transaction(name):
                self.db.run("INSERT INTO notes VALUES (?)", (note,))
                if then is not None:
                    raise then
            return note

        return work

    def tried(self, note: str, *more: str) -> Callable[[], None]:
        """A write that ignores an error, and continues."""

        def work() -> None:
            for one in (note, *more):
                try:
                    self.add(one)()
                except DatabaseError:
                    continue

        return work


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(str(tmp_path / "cron.db"))
    yield bench
    bench.db.close()


@pytest.fixture
def reached() -> Iterator[list[str]]:
    """The crash points, in their order."""
    reached: list[str] = []
    crash_points.hook = reached.append
    yield reached
    crash_points.hook = None


def test_all_writes_are_one_commit_and_each_has_its_outcome(bench: Bench) -> None:
    assert group_commit(bench.db, [bench.add(note) for note in "abc"]) == [Outcome(note, None) for note in "abc"]
    assert bench.notes() == ["a", "b", "c"]
    assert (bench.count("BEGIN"), bench.count("COMMIT")) == (1, 1)


def test_no_write_and_a_single_one_need_no_group(bench: Bench, reached: list[str]) -> None:
    assert group_commit(bench.db, []) == []
    assert group_commit(bench.db, [bench.add("a")]) == [Outcome("a", None)]
    assert bench.asked[0] == "BEGIN IMMEDIATE"
    assert bench.count("SAVEPOINT") == 0
    assert reached == ["test.before_commit", "test.after_commit"]


def test_a_write_that_fails_is_rolled_back_alone(bench: Bench) -> None:
    lost = LeaseLost("settled")
    found = group_commit(bench.db, [bench.add("a"), bench.add("b", then=lost), bench.add("c"), bench.add("a")])
    assert [done.value for done in found[:3]] == ["a", None, "c"]
    assert found[1].error is lost
    assert isinstance(found[3].error, DatabaseError), "SQLite refuses the second a"
    assert bench.notes() == ["a", "c"]
    assert bench.count("COMMIT") == 1


def test_each_write_sees_those_before_it(bench: Bench) -> None:
    """A verdict releases the permit that the claim after it takes."""

    def count() -> int:
        row = bench.db.row("SELECT count(*) FROM notes")
        return row[0] if row is not None else -1

    found = group_commit(bench.db, [count, bench.add("a"), count, bench.add("b", then=LeaseLost("x")), count])
    assert [done.value for done in found] == [0, "a", 1, None, 1]


@pytest.mark.parametrize("outer", [None, LeaseLost("settled")])
def test_a_nested_write_is_rolled_back_alone_or_with_the_outer_one(
    bench: Bench, reached: list[str], outer: Exception | None
) -> None:
    def nested() -> None:
        with bench.db.transaction("outer"):
            bench.add("inner", name="inner")()
            with pytest.raises(ZeroDivisionError):
                bench.add("undone", then=ZeroDivisionError(), name="undone")()
            if outer is not None:
                raise outer

    found = group_commit(bench.db, [bench.add("a", name="a"), nested, bench.add("b", name="b")])
    assert found[1].error is outer
    assert bench.notes() == ["a", *(["inner"] if outer is None else []), "b"]
    if outer is None:
        assert reached[-4:] == [f"{name}.after_commit" for name in ["a", "inner", "outer", "b"]]


def test_a_commit_is_reached_by_its_name_only_when_all_of_the_group_is_stored(
    bench: Bench, reached: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[tuple[str, int]] = []
    monkeypatch.setattr(crash_points, "hook", lambda name: stored.append((name, len(bench.notes()))))
    group_commit(
        bench.db, [bench.add("a", name="a"), bench.add("b", then=LeaseLost("x"), name="b"), bench.add("c", name="c")]
    )
    assert stored == [
        ("a.before_commit", 0),
        ("c.before_commit", 0),
        ("a.after_commit", 2),
        ("c.after_commit", 2),
    ]


def test_after_a_group_a_transaction_commits_by_itself_again(bench: Bench) -> None:
    group_commit(bench.db, [bench.add("a"), bench.add("b", then=LeaseLost("x"))])
    bench.asked.clear()
    bench.add("c")()
    assert (bench.asked[0], bench.asked[-1]) == ("BEGIN IMMEDIATE", "COMMIT")


def test_after_a_failed_commit_each_write_is_committed_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the commit of the group fails; its writes are rolled back, and then written again."""
    commit, refused = bench.db.commit, [True]

    def refuse_once() -> None:
        if refused.pop() if refused else False:
            bench.db.roll_back()
            raise DatabaseFull("no room")
        commit()

    monkeypatch.setattr(bench.db, "commit", refuse_once)
    found = group_commit(bench.db, [bench.add("a"), bench.add("b", then=LeaseLost("x")), bench.add("c")])
    assert [done.value for done in found] == ["a", None, "c"]
    assert isinstance(found[1].error, LeaseLost)
    assert bench.notes() == ["a", "c"]
    assert bench.count("BEGIN IMMEDIATE") == 4


def test_a_fault_that_only_the_commit_finds_harms_only_its_own_write(bench: Bench) -> None:
    """A foreign key that is checked at the commit."""
    bench.db.run("CREATE TABLE parts (note TEXT REFERENCES notes (note) DEFERRABLE INITIALLY DEFERRED) STRICT")
    bench.db.run("PRAGMA foreign_keys = ON")

    def orphan() -> None:
        with bench.db.transaction("test"):
            bench.db.run("INSERT INTO parts VALUES ('nobody')")

    found = group_commit(bench.db, [bench.add("a"), orphan, bench.add("b")])
    assert [done.error is None for done in found] == [True, False, True]
    assert bench.notes() == ["a", "b"]
    assert bench.db.rows("SELECT * FROM parts") == []


def test_a_locked_database_fails_all_writes_at_once(bench: Bench) -> None:
    bench.db.run("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(bench.db.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = group_commit(bench.db, [bench.add(note) for note in "abc"])
        other.execute("ROLLBACK")
    assert [type(done.error) for done in found] == [DatabaseLocked] * 3
    assert bench.count("BEGIN") == 1, "each alone would wait as long again"
    assert group_commit(bench.db, [bench.add(note) for note in "abc"])[2].value == "c"
    assert bench.notes() == ["a", "b", "c"]


def test_a_write_that_raises_locked_itself_does_not_fail_the_others(bench: Bench) -> None:
    found = group_commit(
        bench.db, [bench.add("a"), bench.add("b", then=DatabaseLocked("another file")), bench.add("c")]
    )
    assert [done.error is None for done in found] == [True, False, True]
    assert bench.notes() == ["a", "c"]


def test_an_interruption_rolls_back_everything(bench: Bench) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        group_commit(bench.db, [bench.add("a"), interrupted])
    assert bench.notes() == []
    assert group_commit(bench.db, [bench.add("a"), bench.add("b")])[0].error is None


# --- a full disk ---

LARGE = "x" * 300_000


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Bench]:
    """A disk with space for small notes, but not for a LARGE one. SQLite caches nothing of it."""
    with small_disk(tmp_path / "disk", "1M") as folder:
        bench = Bench(str(folder / "cron.db"))
        bench.db.run("PRAGMA cache_size = 1")
        bench.db.run("PRAGMA cache_spill = 1")
        room = fill(folder)
        with room.open("r+b") as file:
            file.truncate(room.stat().st_size - 120_000)
        yield bench
        bench.db.close()


def test_a_disk_that_fills_up_fails_only_the_writes_that_do_not_fit(full: Bench) -> None:

    def bare() -> int:
        """One statement without a transaction of its own, like that of `record_child`."""
        return full.db.run("INSERT INTO notes VALUES ('b')")

    found = group_commit(full.db, [full.add("a"), full.add(LARGE), bare, full.add("c")])
    assert [done.value for done in found] == ["a", None, 1, "c"]
    assert isinstance(found[1].error, DatabaseFull)
    assert full.notes() == ["a", "b", "c"]
    assert full.count("BEGIN IMMEDIATE") == 4, "the group was lost, and each tried alone"


def test_work_that_continues_after_the_group_was_rolled_back_is_not_done_twice(full: Bench) -> None:
    """Its second part would be a transaction of its own, stored before the work is tried again."""
    found = group_commit(full.db, [full.add("a"), full.tried(LARGE, "after"), full.add("b")])
    assert [done.error for done in found] == [None, None, None]
    assert full.notes() == ["a", "after", "b"]
    assert sum("'after'" in asked for asked in full.asked) == 1


def test_a_full_disk_gives_each_write_its_error(full: Bench) -> None:
    fill(Path(full.db.path).parent)
    found = group_commit(full.db, [full.add(LARGE), full.add(LARGE + "2")])
    assert [type(done.error) for done in found] == [DatabaseFull] * 2
    assert full.notes() == []
    assert not full.db.connection.in_transaction
    (Path(full.db.path).parent / "filler").unlink()
    assert [done.error for done in group_commit(full.db, [full.add("a"), full.add("b")])] == [None, None]


def test_a_reader_does_not_block_a_group_and_sees_none_of_it(bench: Bench) -> None:
    with closing(Database(bench.db.path)) as reader:
        reader.connection.execute("BEGIN")
        assert reader.rows("SELECT * FROM notes") == []
        found = group_commit(bench.db, [bench.add("a"), bench.add("b")])
        assert [done.error for done in found] == [None, None]
        assert reader.rows("SELECT * FROM notes") == []
