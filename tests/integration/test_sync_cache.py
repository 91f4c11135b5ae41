"""A sync with the cache has the same result as one that checks everything, and notices every change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.app import App
from app.session import CHECKED_ENTRIES, LAST_SYNC, SYNCED_FILE, Session
from core.errors import CronError
from jobs import checker, sync_cache
from store.bundle import Store
from store.creation import create
from tests.fakes import NOON
from tests.workspace import FakeClock

_BASE = {"puruto_target": "puruto-target", "schedule": "0 * * * *", "prompt": "Do it"}
Jobs = list[dict[str, Any]]


def _jobs(*names: str) -> Jobs:
    return [{"job_id": name, **_BASE} for name in names]


class Side:
    """A folder with its database. If it is `forgetful`, the cache is cleared before each sync."""

    def __init__(self, root: Path, *, forgetful: bool) -> None:
        self.root = root
        self.forgetful = forgetful
        self.clock = FakeClock(NOON)
        self.environ = {"TZ": "UTC"}
        db, _ = create(str(root / "db" / "cron.db"))
        self.store = Store(db)

    def sync(self, jobs: object) -> object:
        """The report of a sync of these jobs, or its error."""
        self.clock.advance(minutes=7)
        path = self.root / ".jobs.json"
        path.write_text(jobs if isinstance(jobs, str) else json.dumps({"jobs": jobs}))
        if self.forgetful:
            self.store.state.set(CHECKED_ENTRIES, "")
        app = App(self.clock, self.environ, str(self.root))
        try:
            return Session(app, self.store).sync_jobs(self.clock.now()).as_dict()
        except CronError as error:
            return json.loads(json.dumps(error.as_dict()).replace(str(path), "FILE"))

    def rows(self) -> list[tuple[Any, ...]]:
        """All that is stored, except the version of the file."""
        own = [tuple(row) for row in self.store.db.rows("SELECT * FROM jobs ORDER BY job_id")]
        own += [tuple(row) for row in self.store.db.rows("SELECT job_id, status, scheduled_for FROM runs")]
        facts = self.store.db.rows("SELECT * FROM state ORDER BY key")
        return own + [tuple(row) for row in facts if row["key"] not in (SYNCED_FILE, CHECKED_ENTRIES)]


class Pair:
    """Does the same in both folders; `checked` are the job_ids that were checked in spite of the cache."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.sides = [Side(root / name, forgetful=name == "forgetful") for name in ("knowing", "forgetful")]
        for side in self.sides:
            stack.enter_context(closing(side.store))
        self.checked: list[object] = []

    def each(self, do: Callable[[Side], object]) -> None:
        for side in self.sides:
            do(side)

    def sync(self, jobs: object) -> Any:
        """The answer, which is the same in both folders."""
        told = []
        for side in self.sides:
            with pytest.MonkeyPatch.context() as patch:
                self.checked = [] if side is self.sides[0] else self.checked
                if side is self.sides[0]:
                    patch.setattr(checker._Checker, "_check_fields", self._noting(checker._Checker._check_fields))
                told.append(side.sync(jobs))
        assert told[0] == told[1]
        assert self.sides[0].rows() == self.sides[1].rows()
        return told[0]

    def _noting(self, check: Any) -> Any:
        def noted(own: Any, path: str, job_id: str, entry: Any) -> Any:
            self.checked.append(job_id)
            return check(own, path, job_id, entry)

        return noted


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both folders, with the jobs a to e synced."""
    with ExitStack() as stack:
        found = Pair(tmp_path, stack)
        found.sync(_jobs(*"abcde"))
        assert found.checked == list("abcde")
        yield found


def test_what_has_not_changed_is_not_checked_again_and_nothing_but_the_time_is_written(pair: Pair) -> None:
    def stored() -> list[tuple[Any, ...]]:
        everything = pair.sides[0].store.db.rows("SELECT * FROM state") + pair.sides[0].store.db.rows(
            "SELECT * FROM jobs"
        )
        return [tuple(row) for row in everything if row[0] not in (SYNCED_FILE, LAST_SYNC)]

    before = stored()
    assert pair.sync(_jobs(*"abcde"))["unchanged"] == list("abcde")
    assert pair.checked == []
    assert stored() == before


@pytest.mark.parametrize(
    ("jobs", "checked", "said"),
    [
        ([*_jobs(*"ab"), {**_jobs("c")[0], "prompt": "Other"}, *_jobs(*"de")], ["c"], {"changed": ["c"]}),
        ([*_jobs(*"ab"), {**_jobs("c")[0], "schedule": "5 * * * *"}, *_jobs(*"de")], ["c"], {"changed": ["c"]}),
        (_jobs(*"abxcde"), ["x"], {"added": ["x"]}),
        (_jobs(*"abde"), [], {"removed": ["c"]}),
        (_jobs(*"edcba"), [], {"unchanged": list("edcba")}),
        (_jobs(*"abxde"), ["x"], {"added": [], "removed": [], "renamed": [{"from": "c", "to": "x"}]}),
        ([dict(reversed(job.items())) for job in _jobs(*"abcde")], list("abcde"), {"unchanged": list("abcde")}),
        ([{**job, "max_retries": 0} for job in _jobs(*"abcde")], list("abcde"), {"unchanged": list("abcde")}),
        ([{**job, "next_run_at": "x"} for job in _jobs(*"abcde")], [], {"unchanged": list("abcde")}),
    ],
    ids=["prompt", "schedule", "added", "removed", "reordered", "renamed", "keys", "default", "runtime"],
)
def test_only_what_has_changed_is_checked(pair: Pair, jobs: Jobs, checked: list[str], said: dict[str, object]) -> None:
    told = pair.sync(jobs)
    assert pair.checked == checked
    assert {key: told[key] for key in said} == said
    pair.sync(jobs)
    assert pair.checked == [], "what was checked is known from then on"
    remembered = json.loads(pair.sides[0].store.state.get(CHECKED_ENTRIES))["jobs"]
    assert remembered.keys() == {job["job_id"] for job in jobs}
    pair.sync(_jobs(*"abcde"))


@pytest.mark.parametrize(
    ("jobs", "codes"),
    [
        ([*_jobs(*"ab"), {**_jobs("c")[0], "timeout_sec": "9", "schedule": "x"}, *_jobs(*"de")], ["WRONG_TYPE"]),
        ([{**_jobs("a")[0], "max_retries": True}, *_jobs(*"bcd"), {**_jobs("e")[0], "no": 1}], ["WRONG", "UNKNOWN"]),
        (_jobs(*"abcdea"), ["DUPLICATE_JOB_ID"]),
        ([*_jobs(*"abcde"), {**_jobs("a")[0], "prompt": "Other"}], ["DUPLICATE_JOB_ID"]),
        ([{**_jobs("a")[0], "prompt": "Other"}, *_jobs(*"abcde")], ["DUPLICATE_JOB_ID"]),
        ([*_jobs(*"abcde"), {**_jobs("x")[0], "job_id": ["x"]}], ["WRONG_TYPE"]),
        ([*_jobs(*"abcde"), 7], ["WRONG_TYPE"]),
        (json.dumps({"jobs": _jobs(*"abcde")}).replace('"a",', '"a", "job_id": "a",'), ["DUPLICATE_KEY"]),
        (json.dumps({"jobs": _jobs(*"abcde"), "more": 1}), ["UNKNOWN_FIELD"]),
    ],
)
def test_all_faults_are_found_and_nothing_is_changed(pair: Pair, jobs: object, codes: list[str]) -> None:
    before = pair.sides[0].rows()
    told = pair.sync(jobs)
    found = [problem["code"] for problem in told["details"]["problems"]]
    assert all(any(code in one for one in found) for code in codes)
    assert pair.sides[0].rows() == before
    assert pair.sync(_jobs(*"abcde"))["unchanged"] == list("abcde")
    assert pair.checked == [], "a refused file has not made anything forgotten"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs SET definition_json = replace(definition_json, 'Do it', 'Do evil') WHERE job_id = 'b'",
        "UPDATE jobs SET definition_json = 'x' WHERE job_id = 'b'",
        "UPDATE jobs SET timezone = 'Asia/Tokyo', timezone_source = 'job' WHERE job_id = 'b'",
        "UPDATE jobs SET removed_at = 'then', enabled = 0, next_run_at = NULL WHERE job_id = 'b'",
        "DELETE FROM jobs WHERE job_id = 'b'",
    ],
)
def test_a_row_that_was_changed_by_hand_is_corrected(pair: Pair, statement: str) -> None:
    pair.each(lambda side: side.store.db.run(statement))
    told = pair.sync(_jobs(*"abcde"))
    assert told["unchanged"] == list("acde")
    assert told["added"] + told["changed"] == ["b"]
    assert pair.sync(_jobs(*"abcde"))["unchanged"] == list("abcde")


@pytest.mark.parametrize("variable", ["TZ", "PURUTO_CRON_TIMEZONE"])
def test_another_zone_is_noticed(pair: Pair, variable: str) -> None:
    pair.each(lambda side: side.environ.update({variable: "Europe/Madrid"}))
    told = pair.sync(_jobs(*"abcde"))
    assert pair.checked == list("abcde")
    assert len(told["changed"]) == (5 if variable != "TZ" else 0)
    assert [warning["code"] for warning in told["warnings"]] == (["ZONE_KEPT"] if variable == "TZ" else [])


@pytest.mark.parametrize("name", ["_version", "_file_version"])
def test_another_version_checks_all_of_it(pair: Pair, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    of_now = getattr(sync_cache, name)
    monkeypatch.setattr(sync_cache, name, lambda what: f"{of_now(what)} newer")
    pair.sync(_jobs(*"abcde"))
    assert pair.checked == [], "a process that goes on is none of another version"
    sync_cache._surroundings.cache_clear()
    try:
        pair.sync(_jobs(*"abcde"))
    finally:
        sync_cache._surroundings.cache_clear()
    assert pair.checked == list("abcde")


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"rules": 1}', '{"rules": "RULES", "jobs": [1]}', "[" * 100_000])
def test_a_damaged_cache_is_ignored(pair: Pair, text: str) -> None:
    rules = json.loads(pair.sides[0].store.state.get(CHECKED_ENTRIES))["rules"]
    pair.sides[0].store.state.set(CHECKED_ENTRIES, text.replace("RULES", rules))
    pair.sync(_jobs(*"abcde"))
    assert pair.checked == list("abcde")


_ENTRY = st.fixed_dictionaries(
    {
        "job_id": st.sampled_from("abcd"),
        "puruto_target": st.just("puruto-target"),
        "prompt": st.sampled_from(["Do it", "Do it", "Do that", " "]),
        "schedule": st.sampled_from(["0 * * * *", "5 4 * * *", "@every 7m", "61 * * * *"]),
    },
    optional={
        "timezone": st.sampled_from(["UTC", "Europe/Madrid", None, "Nowhere"]),
        "max_retries": st.sampled_from([0, 1, True, 1.0, "1"]),
        "enabled": st.booleans(),
        "last_run_at": st.none(),
        "env": st.sampled_from([{}, {"A": "1", "B": "2"}, {"B": "2", "A": "1"}]),
        "max_budget_usd": st.sampled_from([1, 1.0, 0.00001]),
        "runner": st.sampled_from(["claude", "invoke"]),
    },
)


@pytest.mark.slow
@settings(max_examples=30)
@given(files=st.lists(st.lists(_ENTRY, max_size=5), min_size=2, max_size=4))
def test_the_cache_changes_no_result(tmp_path_factory: pytest.TempPathFactory, files: list[Jobs]) -> None:
    with ExitStack() as stack:
        pair = Pair(tmp_path_factory.mktemp("pair"), stack)
        for jobs in files:
            pair.sync(jobs)
