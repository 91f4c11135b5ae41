"""When a tick syncs: an edited file once; a broken file is reported until it is valid, and valid jobs keep running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from app.app import App
from app.session import Session
from commands import cli
from core.errors import CronError
from store.bundle import Store
from store.creation import create
from tests.fakes import NOON
from tests.workspace import FakeClock


class Place:
    """A folder with a database and perhaps a .jobs.json, and the program over it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock(NOON)
        self.environ = {"TZ": "UTC", "PURUTO_CRON_TIMEZONE": "UTC"}
        db, _ = create(str(root / "db" / "cron.db"))
        self.store = Store(db)

    @property
    def app(self) -> App:
        """A new program each time, as each tick is a new process."""
        return App(self.clock, self.environ, str(self.root))

    @property
    def file(self) -> Path:
        return self.root / ".jobs.json"

    def write(self, *names: str, **fields: Any) -> None:
        base = {"puruto_target": "puruto-target", "schedule": "0 * * * *", "prompt": "Do it", **fields}
        self.file.write_text(json.dumps({"jobs": [{"job_id": name, **base} for name in names]}))

    def tick(self) -> dict[str, Any] | None:
        """The `sync` part of a tick's answer."""
        self.clock.advance(minutes=1)
        return cast("dict[str, Any] | None", Session(self.app, self.store).sync_if_changed(self.clock.now()))

    @property
    def status(self) -> dict[str, Any]:
        return cast("dict[str, Any]", Session(self.app, self.store).sync_state())

    @property
    def jobs(self) -> list[str]:
        return [row["job_id"] for row in self.store.definitions.active()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    try:
        yield found
    finally:
        found.store.close()


def _code(answer: dict[str, Any] | None) -> str:
    assert answer is not None
    assert answer["status"] == "error"
    return str(answer["error"]["code"])


def test_a_new_file_is_synced_once(place: Place) -> None:
    place.write("a", "b")
    answer = place.tick()
    assert answer is not None
    assert answer["added"] == ["a", "b"]
    assert place.tick() is None
    assert place.status == {
        "last_sync_at": "2026-02-25T12:01:00+00:00",
        "in_step": True,
        "auto_sync": True,
        "error": None,
    }


def test_an_edited_file_is_synced_once(place: Place) -> None:
    place.write("a")
    place.tick()
    place.write("a", "b")
    assert place.status["in_step"] is False
    answer = place.tick()
    assert answer is not None
    assert (answer["added"], answer["unchanged"]) == (["b"], ["a"])
    assert place.tick() is None


@pytest.mark.parametrize(
    ("text", "code"),
    [("{", "JOBS_FILE_NOT_JSON"), ("[]", "JOBS_FILE_INVALID")],
)
def test_a_broken_file_is_reported_at_every_tick_and_the_valid_jobs_keep_running(
    place: Place, text: str, code: str
) -> None:
    place.write("a")
    place.tick()
    place.file.write_text(text)
    assert _code(place.tick()) == code
    assert _code(place.tick()) == code
    assert place.jobs == ["a"]
    assert place.status["in_step"] is False
    assert place.status["error"]["error"]["code"] == code
    assert place.status["error"]["at"] == "2026-02-25T12:02:00+00:00", "since when, not when it was told last"


def test_a_missing_file_is_reported_and_the_last_valid_jobs_keep_running(place: Place) -> None:
    place.write("a")
    place.tick()
    place.file.unlink()
    assert _code(place.tick()) == "JOBS_FILE_MISSING"
    place.file.mkdir()
    assert _code(place.tick()) == "JOBS_FILE_UNREADABLE"
    assert place.jobs == ["a"]


def test_a_corrected_file_clears_the_error(place: Place) -> None:
    place.file.write_text("{")
    place.tick()
    place.write("a")
    answer = place.tick()
    assert answer is not None
    assert answer["status"] == "ok"
    assert place.status["error"] is None


def test_status_names_the_fault_that_the_file_has_now(place: Place) -> None:
    place.file.write_text("{")
    place.tick()
    place.file.write_text('{"jobs": 5}')
    assert _code(place.tick()) == "JOBS_FILE_INVALID"
    assert place.status["error"]["error"]["code"] == "JOBS_FILE_INVALID"


def test_restoring_the_valid_file_clears_the_error(place: Place) -> None:
    place.write("a")
    place.tick()
    place.file.rename(place.root / "aside")
    place.file.write_text("{")
    assert _code(place.tick()) == "JOBS_FILE_NOT_JSON"
    (place.root / "aside").rename(place.file)
    assert place.tick() is None
    assert place.status["in_step"] is True
    assert place.status["error"] is None


def test_a_file_that_is_edited_while_it_is_read_is_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs import jobs_file

    read = jobs_file.read_changes

    def edited_behind_our_back(*words: Any) -> Any:
        found = read(*words)
        place.write("a", "b")
        return found

    place.write("a")
    monkeypatch.setattr(jobs_file, "read_changes", edited_behind_our_back)
    place.tick()
    monkeypatch.undo()
    assert place.jobs == ["a"]
    answer = place.tick()
    assert answer is not None
    assert answer["added"] == ["b"]


def test_auto_sync_can_be_turned_off(place: Place) -> None:
    place.environ["PURUTO_CRON_AUTO_SYNC"] = "0"
    place.write("a")
    assert place.tick() is None
    assert place.jobs == []
    assert place.status["in_step"] is False
    assert place.status["auto_sync"] is False
    Session(place.app, place.store).sync_jobs(place.clock.now())
    assert place.jobs == ["a"]
    assert place.status["in_step"] is True


def test_another_default_zone_is_a_change(place: Place) -> None:
    place.write("a", schedule="0 15 * * *")
    place.tick()
    place.environ["PURUTO_CRON_TIMEZONE"] = "America/New_York"
    answer = place.tick()
    assert answer is not None
    assert answer["changed"] == ["a"]
    (row,) = place.store.definitions.active()
    assert (row["timezone"], row["next_run_at"]) == ("America/New_York", "2026-02-25T20:00:00+00:00")


def test_a_job_that_was_synced_under_a_wrong_clock_still_runs_before_that_time(
    place: Place, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    place.clock.wall = NOON.replace(year=2031)
    place.write("a")
    Session(place.app, place.store).sync_jobs(place.clock.now())
    place.clock.wall = NOON
    assert cli.main(args=["tick"], standalone_mode=False, obj=place.app) == 0
    assert json.loads(capfdbinary.readouterr().out)["clock_anomaly"] is not None
    (row,) = place.store.definitions.active()
    assert row["next_run_at"] == "2026-02-25T13:00:00+00:00"


def test_a_cursor_of_a_clock_that_was_wrong_at_the_last_tick_is_brought_back(
    place: Place, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    place.clock.wall = NOON.replace(year=2031)
    place.write("a")
    assert cli.main(args=["tick"], standalone_mode=False, obj=place.app) == 0
    capfdbinary.readouterr()
    place.clock.wall = NOON
    assert cli.main(args=["tick"], standalone_mode=False, obj=place.app) == 0
    answer = json.loads(capfdbinary.readouterr().out)
    assert answer["clock_anomaly"]["code"] == "CLOCK_SET_BACK"
    assert answer["clock_anomaly"]["corrected_jobs"] == ["a"]
    (row,) = place.store.definitions.active()
    assert row["next_run_at"] == "2026-02-25T13:00:00+00:00"


def test_a_sync_by_hand_raises_what_is_wrong_and_changes_nothing(place: Place) -> None:
    place.write("a")
    place.tick()
    before = place.status
    place.write("a", "b", schedule="bad")
    with pytest.raises(CronError) as caught:
        Session(place.app, place.store).sync_jobs(place.clock.now())
    assert caught.value.exit_code == 2
    assert place.jobs == ["a"]
    assert place.status == {**before, "in_step": False}
