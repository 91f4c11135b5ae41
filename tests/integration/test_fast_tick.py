"""The look of a tick with nothing to do: what it imports, what it says, and when it leaves the tick to the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

import db
from app import fast_tick
from app.app import App
from config import settings
from core.clock import utc_text
from core.errors import CronError
from core.redact import looks_secret
from core.run import ProcessId, Verdict
from core.run import RunStatus as Status
from store import last_tick
from store.bundle import Store
from store.claims import ClaimTerms, Owner
from store.creation import create
from store.definitions import Change, Zone
from store.idle_check import SEEN_KEY
from store.job_codec import job_json
from tests.fakes import NOON, make_job
from tests.workspace import PATIENCE, PROJECT, FakeClock, Workspace

MONOTONIC = 5000.0
SOON = NOON + timedelta(minutes=5)


class Place:
    """A folder in which a whole tick has just found nothing to do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {"PATH": "/usr/bin", "PURUTO_HOME": ".."}
        self.now = NOON
        self.database = root / "db" / "cron.db"
        opened, _ = create(str(self.database))
        self.store = Store(opened)
        (root / ".jobs.json").write_text('{"jobs": []}')
        self.add("later", SOON)
        self.seen()

    def add(self, name: str, cursor: datetime | None, **fields: Any) -> None:
        job = make_job(name, **fields)
        change = Change(job, job_json(job), Zone("UTC", "machine"), NOON, cursor)
        with self.store.db.transaction("test"):
            assert self.store.definitions.apply([change], [], NOON)

    def seen(self) -> None:
        """What a whole tick leaves behind when it found the configuration good."""
        self.store.state.set(SEEN_KEY, fast_tick.fingerprint(str(self.root), self.environ))

    def start_run(self, *, lease: timedelta = timedelta(seconds=120), ceiling: float = 18_000.0) -> str:
        terms = ClaimTerms(self.now, self.now + lease, MONOTONIC + ceiling)
        owner = Owner("host:1", ProcessId(1, "then", "boot"))
        run = self.store.claims.claim_manual("later", owner, terms, force=False)
        self.token = run.token
        return run.run_id

    def look(self, *options: str) -> str | None:
        return fast_tick.nothing_due(str(self.root), self.environ, options, self.now, MONOTONIC)

    @property
    def last_tick(self) -> Path:
        return Path(last_tick.file_of(str(self.database)))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    try:
        yield found
    finally:
        found.store.close()


# --- what it says ---


def test_an_idle_tick_says_that_nothing_was_due_and_leaves_its_time(place: Place) -> None:
    text = place.look()
    assert text is not None
    assert text.endswith("}\n")
    answer = json.loads(text)
    assert answer["status"] == "ok"
    assert answer["now"] == "2026-02-25T12:00:00+00:00"
    assert answer["lease_owner"] == f"{os.uname().nodename}:{os.getpid()}"
    assert (answer["due_jobs"], answer["results"]) == ([], [])
    assert place.last_tick.read_text() == "2026-02-25T12:00:00+00:00\n"
    assert place.last_tick.stat().st_mode & 0o777 == 0o600


def test_a_quiet_idle_tick_says_nothing_and_leaves_its_time(place: Place) -> None:
    assert place.look("--quiet") == ""
    assert last_tick.read(str(place.database)) == "2026-02-25T12:00:00+00:00"


def test_each_idle_tick_leaves_its_time(place: Place) -> None:
    for _ in range(3):
        place.now += timedelta(minutes=1)
        assert place.look() is not None
    assert place.last_tick.read_text() == "2026-02-25T12:03:00+00:00\n"


def test_an_idle_tick_writes_nothing_into_the_database(place: Place) -> None:
    changes = place.store.db.connection.total_changes
    version = place.store.db.rows("PRAGMA data_version")[0][0]
    place.look()
    assert place.store.db.rows("PRAGMA data_version")[0][0] == version
    assert place.store.db.connection.total_changes == changes


# --- when it is idle ---


def _healthy_run(place: Place) -> None:
    place.start_run()


def _disabled_job_that_is_overdue(place: Place) -> None:
    place.add("disabled", NOON - timedelta(hours=1), enabled=False)


def _job_that_never_fires_again(place: Place) -> None:
    place.add("over", None)


def _job_a_second_ahead(place: Place) -> None:
    place.add("soon", NOON + timedelta(seconds=1))


def _event_that_has_arrived(place: Place) -> None:
    place.store.events.add("run", "later", utc_text(NOON), {}, ["local"])
    place.store.events.settle("local", place.store.events.waiting("local", 9), "delivered", utc_text(NOON))


def _event_that_nobody_waits_for(place: Place) -> None:
    place.store.events.add("run", "later", utc_text(NOON), {}, [])


def _run_that_has_ended(place: Place) -> None:
    run_id = place.start_run(lease=timedelta(seconds=-5))
    place.store.runs.finish(run_id, place.token, Verdict(Status.OK, NOON, 1), [])


def _variable_that_does_not_concern_us(place: Place) -> None:
    place.environ["EDITOR"] = "vi"


@pytest.mark.parametrize(
    "arrange",
    [
        _healthy_run,
        _disabled_job_that_is_overdue,
        _job_that_never_fires_again,
        _job_a_second_ahead,
        _event_that_has_arrived,
        _event_that_nobody_waits_for,
        _run_that_has_ended,
        _variable_that_does_not_concern_us,
    ],
)
def test_there_is_nothing_to_do_with(place: Place, arrange: Callable[[Place], None]) -> None:
    arrange(place)
    assert place.look() is not None


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "A=1\nB=2\n", "DB_PATH=db/cron.db\n", "A='x'\n#DB_PATH=elsewhere\nDB_PATH=./db/../db/cron.db"],
)
def test_a_plain_env_file_is_understood(place: Place, text: str) -> None:
    (place.root / ".env").write_text(text)
    place.seen()
    assert place.look() is not None


def test_the_database_may_lie_elsewhere(place: Place) -> None:
    place.store.close()
    place.database.rename(place.root / "elsewhere.db")
    place.database = place.root / "elsewhere.db"
    place.store = Store(db.Database(str(place.database)))
    for name in ("env", "file"):
        if name == "env":
            place.environ["DB_PATH"] = str(place.database)
        else:
            del place.environ["DB_PATH"]
            (place.root / ".env").write_text("DB_PATH=elsewhere.db\n")
        place.seen()
        assert place.look() is not None
        assert place.last_tick.exists()
        place.last_tick.unlink()


# --- when it is not ---


def _due_job(place: Place) -> None:
    place.add("due", NOON - timedelta(minutes=3))


def _job_that_is_due_now(place: Place) -> None:
    place.add("due", NOON)


def _waiting_event(place: Place) -> None:
    place.store.events.add("run", "later", utc_text(NOON), {}, ["telegram"])


def _run_whose_lease_is_over(place: Place) -> None:
    place.start_run(lease=timedelta(seconds=0))


def _run_whose_lease_is_absurd(place: Place) -> None:
    place.start_run(lease=timedelta(days=365))


def _run_beyond_its_ceiling(place: Place) -> None:
    place.start_run(ceiling=0)


def _edited_jobs_file(place: Place) -> None:
    (place.root / ".jobs.json").write_text('{"jobs": [ ]}')


def _touched_jobs_file(place: Place) -> None:
    os.utime(place.root / ".jobs.json", ns=(1, 1))


def _replaced_jobs_file(place: Place) -> None:
    path = place.root / ".jobs.json"
    info = path.stat()
    (place.root / "new").write_text(path.read_text())
    os.utime(place.root / "new", ns=(info.st_mtime_ns, info.st_mtime_ns))
    (place.root / "new").rename(path)


def _jobs_file_gone(place: Place) -> None:
    (place.root / ".jobs.json").unlink()


def _new_env_file(place: Place) -> None:
    (place.root / ".env").write_text("")


def _unreadable_env_file(place: Place) -> None:
    (place.root / ".env").mkdir()
    place.seen()


def _huge_env_file(place: Place) -> None:
    with (place.root / ".env").open("wb") as file:
        file.truncate(1 << 40)
    place.seen()


def _env_file_that_is_no_text(place: Place) -> None:
    (place.root / ".env").write_bytes(b"A=\xff\n")
    place.seen()


def _new_variable(place: Place) -> None:
    place.environ["TZ"] = "UTC"


def _other_variable(place: Place) -> None:
    place.environ["PURUTO_HOME"] = "/elsewhere"


def _variable_gone(place: Place) -> None:
    del place.environ["PURUTO_HOME"]


def _another_version_of_the_schema_seen(place: Place) -> None:
    seen = place.store.state.get(SEEN_KEY).replace("schema=", "schema=0")
    place.store.state.set(SEEN_KEY, seen)


def _no_whole_tick_before(place: Place) -> None:
    place.store.db.run("DELETE FROM state")


def _broken_jobs_file_at_the_last_tick(place: Place) -> None:
    place.store.state.set(SEEN_KEY, "")


def _no_database(place: Place) -> None:
    place.store.close()
    place.database.unlink()


def _empty_database(place: Place) -> None:
    place.environ["DB_PATH"] = "empty.db"
    (place.root / "empty.db").touch()


def _folder_for_a_database(place: Place) -> None:
    place.environ["DB_PATH"] = "db"


def _newer_database(place: Place) -> None:
    place.store.db.run("PRAGMA user_version = 99")


def _foreign_database(place: Place) -> None:
    place.store.db.run("PRAGMA application_id = 7")


def _database_without_tables(place: Place) -> None:
    place.store.db.run("DROP TABLE state")


def _clock_set_back(place: Place) -> None:
    last_tick.touch(str(place.database), utc_text(NOON + timedelta(seconds=1)))


def _last_tick_is_a_link(place: Place) -> None:
    place.last_tick.symlink_to(place.root / "target")


def _last_tick_is_a_folder(place: Place) -> None:
    place.last_tick.mkdir()


def _database_in_the_home_folder(place: Place) -> None:
    place.environ["DB_PATH"] = "~/cron.db"


@pytest.mark.parametrize(
    "arrange",
    [
        _due_job,
        _job_that_is_due_now,
        _waiting_event,
        _run_whose_lease_is_over,
        _run_whose_lease_is_absurd,
        _run_beyond_its_ceiling,
        _edited_jobs_file,
        _touched_jobs_file,
        _replaced_jobs_file,
        _jobs_file_gone,
        _new_env_file,
        _unreadable_env_file,
        _env_file_that_is_no_text,
        _huge_env_file,
        _new_variable,
        _other_variable,
        _variable_gone,
        _another_version_of_the_schema_seen,
        _no_whole_tick_before,
        _broken_jobs_file_at_the_last_tick,
        _no_database,
        _empty_database,
        _folder_for_a_database,
        _newer_database,
        _foreign_database,
        _database_without_tables,
        _clock_set_back,
        _last_tick_is_a_link,
        _last_tick_is_a_folder,
        _database_in_the_home_folder,
    ],
)
def test_the_whole_tick_looks_at(place: Place, arrange: Callable[[Place], None]) -> None:
    assert place.look() is not None
    place.last_tick.unlink()
    arrange(place)
    assert place.look() is None
    assert place.look("--quiet") is None


@pytest.mark.parametrize(
    "options", [["--help"], ["--quiet", "--help"], ["--quiet", "--quiet"], ["-q"], ["x"], ["--quiet=1"], [""]]
)
def test_options_other_than_quiet_are_left_to_the_whole_tick(place: Place, options: list[str]) -> None:
    assert place.look(*options) is None


@pytest.mark.parametrize("name", [*(variable.name for variable in settings.VARIABLES if variable.kind != "url"), "TZ"])
def test_a_change_of_any_variable_that_governs_a_tick_is_looked_at(place: Place, name: str) -> None:
    if name == "DB_PATH":
        place.environ[name] = str(place.database)
    else:
        place.environ[name] = "json" if name == "PURUTO_CRON_FORMAT" else "1"
    assert place.look() is None
    place.seen()
    assert place.look() is not None


@pytest.mark.parametrize(
    "text",
    [
        'DB_PATH="db/cron.db"',
        "DB_PATH='db/cron.db'",
        "export DB_PATH=db/cron.db",
        " DB_PATH=db/cron.db",
        "DB_PATH = db/cron.db",
        "DB_PATH= db/cron.db",
        "DB_PATH=db/cron.db # ours",
        "DB_PATH=db/cron.db#ours",
        "DB_PATH=~/cron.db",
        "DB_PATH=${HOME}/cron.db",
        "DB_PATH=",
        "DB_PATH",
        "'DB_PATH'=db/cron.db",
        "MY_DB_PATH=db/cron.db",
        "A=$DB_PATH",
        "\ufeffDB_PATH=db/cron.db",
        "DB_PATH=db/crón.db",
        'A="\nDB_PATH=x',
    ],
)
def test_only_the_whole_parser_understands_a_database_path_that_is_not_plain(place: Place, text: str) -> None:
    (place.root / ".env").write_text(f"A=1\n{text}\nB=2\n" if text[0] != "\ufeff" else text, encoding="utf-8")
    place.seen()
    assert place.look() is None


@pytest.mark.parametrize(
    "text",
    [
        "DB_PATH=a/b.db",
        "DB_PATH=/abs/b.db",
        "DB_PATH=one.db\nDB_PATH=two.db\n",
        "X=1\r\nDB_PATH=a.db\r\nY=2\r\n",
        "#DB_PATH=a.db\nDB_PATH=b.db",
        "# DB_PATH\n",
        "A=x\nDB_PATH=a.db",
        "",
    ],
)
def test_a_plain_line_means_to_the_look_what_it_means_to_the_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / ".env").write_bytes(text.encode())
    found = fast_tick._db_path(str(tmp_path), {})
    assert found is not None
    assert os.path.realpath(found) == str(settings.load({}, tmp_path).db_path)


def test_a_host_whose_name_would_need_escaping_is_left_to_the_whole_tick(place: Place) -> None:
    with mock.patch("os.uname", return_value=mock.Mock(nodename='a"b')):
        assert place.look() is None


def test_a_database_that_is_damaged_is_left_to_the_whole_tick(place: Place) -> None:
    place.store.close()
    place.database.write_bytes(b"no database at all " * 400)
    assert place.look() is None


def test_an_env_file_that_is_a_named_pipe_does_not_hang_the_tick(place: Place) -> None:
    pipe = place.root / ".env"
    os.mkfifo(pipe)
    place.seen()
    found: list[str | None] = []
    thread = threading.Thread(
        target=lambda: found.append(fast_tick.nothing_due(str(place.root), place.environ, [], place.now, MONOTONIC)),
        daemon=True,
    )
    thread.start()
    thread.join(PATIENCE)
    hung = thread.is_alive()
    while thread.is_alive():
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
        thread.join(0.05)
    assert not hung
    assert found == [None]


def test_rubbish_in_the_file_of_the_last_tick_is_gone_after_the_next_one(place: Place) -> None:
    place.last_tick.write_text("0000 rubbish that is longer than the text of an instant")
    assert place.look() is not None
    assert last_tick.read(str(place.database)) == "2026-02-25T12:00:00+00:00"


def test_a_pipe_in_the_place_of_the_last_tick_holds_nothing_up(place: Place) -> None:
    os.mkfifo(place.last_tick)
    assert last_tick.read(str(place.database)) == ""
    assert place.look() is None, "its time could not be written"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\n"])
def test_a_file_of_the_last_tick_that_says_nothing_counts_as_none(place: Place, content: bytes) -> None:
    place.last_tick.write_bytes(content)
    assert last_tick.read(str(place.database)) == ""


@pytest.mark.parametrize(
    ("after_it", "stale"),
    [
        (timedelta(0), False),
        (timedelta(seconds=300), False),
        (timedelta(seconds=301), True),
        (timedelta(seconds=-1), False),
        (timedelta(days=-1000), True),
    ],
)
def test_a_scheduler_whose_last_tick_is_not_of_now_is_stale(place: Place, after_it: timedelta, stale: bool) -> None:
    place.look()
    app = App(FakeClock(NOON), place.environ, str(place.root))
    state = app.tick_state(NOON + after_it)
    assert state["stale"] is stale
    assert state["last_tick_at"] == "2026-02-25T12:00:00+00:00"


def test_a_scheduler_that_never_ticked_is_stale(place: Place) -> None:
    state = App(FakeClock(NOON), place.environ, str(place.root)).tick_state(NOON)
    assert (state["stale"], state["last_tick_at"], state["last_tick_age_sec"]) == (True, None, None)


# --- which configuration was seen ---


def test_the_value_of_every_setting_is_part_of_the_fingerprint_but_that_of_an_address(tmp_path: Path) -> None:
    for variable in settings.VARIABLES:
        seen = {fast_tick.fingerprint(str(tmp_path), {variable.name: value}) for value in ("1", "2")}
        assert len(seen) == 2, variable.name
    urls = {f"https://{name}@ping.example/{name}" for name in ("a", "b")}
    assert len({fast_tick.fingerprint(str(tmp_path), {"PURUTO_CRON_PING_URL": url}) for url in urls}) == 1


def test_the_order_of_the_environment_changes_no_fingerprint(tmp_path: Path) -> None:
    environ = {"TZ": "UTC", "PURUTO_HOME": "/h", "DB_PATH": "d"}
    turned = dict(reversed(environ.items()))
    assert fast_tick.fingerprint(str(tmp_path), environ) == fast_tick.fingerprint(str(tmp_path), turned)


@given(
    st.from_regex(r"[A-Za-z0-9_]*(KEY|Token|secret|PASS|pat|PWD|AUTH|Credential)S?[0-9]?[A-Za-z0-9_]*", fullmatch=True)
)
def test_the_fingerprint_holds_the_value_of_no_name_that_looks_like_that_of_a_secret(name: str) -> None:
    held = "s3cr3t" in fast_tick.fingerprint("/nowhere", {f"PURUTO_{name}": "s3cr3t"})
    assert not (held and looks_secret(f"PURUTO_{name}"))


def test_the_places_are_those_of_the_settings(tmp_path: Path) -> None:
    loaded = settings.load({}, tmp_path)
    assert str(loaded.jobs_file) == os.path.join(tmp_path, fast_tick.JOBS_FILE)
    assert str(loaded.db_path) == os.path.join(tmp_path, fast_tick.DEFAULT_DB)


def test_the_fingerprint_holds_no_variable_that_may_be_a_secret(tmp_path: Path) -> None:
    environ = {"PURUTO_TELEGRAM_BOT_TOKEN": "s3cr3t", "TZ": "UTC", "PURUTO_DB": "postgres://me:s3cr3t@host/x"}
    environ |= {
        "PURUTO_CRON_REDACT": "A, PURUTO_BANK",
        "PURUTO_BANK": "s3cr3t",
        "PURUTO_my_pat": "s3cr3t",
        "A": "s3cr3t",
    }
    (tmp_path / ".env").write_text("TOKEN=s3cr3t")
    assert "s3cr3t" not in fast_tick.fingerprint(str(tmp_path), environ)


def test_an_edit_within_the_same_second_and_of_the_same_length_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    before = fast_tick.identity(str(path))
    info = path.stat()
    path.write_text("two")
    os.utime(path, ns=(info.st_mtime_ns + 1, info.st_mtime_ns + 1))
    assert fast_tick.identity(str(path)) != before
    assert fast_tick.identity(str(tmp_path / "nothing")) == "none"


# --- as a program ---

#: Named although the list of what is imported is exact: so a test that fails says what it is that must never come in.
FORBIDDEN = {
    "click", "croniter", "filelock", "pydantic", "rich", "psutil", "dotenv", "tzlocal", "jsonschema",
    "dataclasses", "json", "re", "typing", "pathlib", "subprocess", "threading", "zoneinfo", "logging", "enum",
    "inspect", "select", "selectors", "signal", "socket", "asyncio", "concurrent", "queue", "tempfile", "shutil",
    "uuid", "hashlib", "fcntl", "contextlib", "random", "argparse", "importlib.metadata",
    "app.app", "app.own_log", "app.session", "commands", "config", "core.boundary", "core.job", "core.log",
    "core.log_file", "executor", "notifier", "scheduler", "system",
}  # fmt: skip
OURS = {
    "app", "app.fast_tick", "core", "core.crash_points", "core.errors", "core.system_clock",
    "db", "store", "store.last_tick", "store.idle_check",
}  # fmt: skip
#: Of the standard library, and as small as they sound.
SMALL = {"__future__", "gc", "encodings.ascii"}


def _imported(command: list[str], workspace: Workspace) -> tuple[set[str], bytes]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], env=workspace.environ, cwd="/", capture_output=True, check=True
    )
    names = re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr.decode(), re.MULTILINE)
    return set(names), done.stdout


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    """A workspace whose only job is far away, after its first tick."""
    workspace.ready({"schedule": "0 0 29 2 *"})
    workspace.json("tick")
    return workspace


@pytest.mark.process
@pytest.mark.parametrize("env", ["", "# nothing\n", "DB_PATH=db/cron.db\n", "shipped"])
def test_an_idle_tick_imports_sqlite3_and_a_handful_of_ours(ready: Workspace, env: str) -> None:
    if env:
        shipped = (PROJECT / ".env.example").read_text(encoding="utf-8")
        (ready.root / ".env").write_text(shipped if env == "shipped" else env, encoding="utf-8")
        ready.json("tick")
    bare, _ = _imported(["-c", "import sqlite3"], ready)
    assert "sqlite3" in bare
    found, out = _imported([str(ready.root / "main.py"), "tick"], ready)
    assert json.loads(out)["status"] == "ok"
    assert sorted(found & (FORBIDDEN - bare)) == []
    assert found - bare - SMALL == OURS
    quiet, out = _imported([str(ready.root / "main.py"), "tick", "--quiet"], ready)
    assert out == b""
    assert quiet - bare - SMALL == OURS


@pytest.mark.process
def test_the_test_above_would_see_a_whole_tick(ready: Workspace) -> None:
    ready.environ["PURUTO_CRON_MAX_RUNNING"] = "3"
    found, _ = _imported([str(ready.root / "main.py"), "tick"], ready)
    assert {"click", "json", "dataclasses"} <= found


@pytest.mark.process
def test_an_idle_tick_prints_what_a_whole_tick_with_nothing_to_do_prints(ready: Workspace) -> None:
    idle_answer = ready.json("tick")
    whole_answer = ready.json("tick", env={"PURUTO_CRON_MAX_RUNNING": "3"})
    assert list(idle_answer) == list(whole_answer)
    for answer in (idle_answer, whole_answer):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", answer.pop("now"))
        assert re.fullmatch(re.escape(os.uname().nodename) + r":\d+", answer.pop("lease_owner"))
    assert idle_answer == whole_answer


@pytest.mark.process
def test_a_tick_over_a_damaged_database_prints_an_error_and_no_traceback(ready: Workspace) -> None:
    ready.database.write_bytes(b"no database at all " * 400)
    answer = ready.json("tick", code=1)
    assert answer["error"]["code"] == "DATABASE_CORRUPT"
    assert str(ready.database) in answer["error"]["message"]


def test_the_look_raises_nothing_for_any_state_of_the_database(place: Place) -> None:
    class Refuses(CronError):
        pass

    for error in (Refuses("x"), OSError("x")):
        with mock.patch("app.fast_tick.is_idle", side_effect=error):
            assert place.look() is None
