"""Whatever the umask: the program's folders are 0700 and its files 0600."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from core.private_files import make_private_folder
from tests.support_machine import COUNT, GATED, answer_of, prepare, release, shell, wait_for_run
from tests.workspace import PATIENCE, PROJECT, Workspace, ended

pytestmark = pytest.mark.process

PERMITS = ("db", "deep", "notifications", "runs")
#: A database in folders that are all to be made.
DEEP = {"DB_PATH": "deep/er/cron.db"}


@pytest.fixture(params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def modes(*places: Path) -> dict[str, int]:
    """The modes of all files and folders at and below these paths, by path."""
    found: dict[str, int] = {}
    for place in places:
        for path in [place, *place.rglob("*")]:
            found[str(path)] = stat.S_IMODE(path.lstat().st_mode)
    return found


def wrong(found: Mapping[str, int]) -> dict[str, str]:
    """The paths that others may use."""
    return {path: oct(mode) for path, mode in found.items() if mode != (0o700 if os.path.isdir(path) else 0o600)}


def sibling(workspace: Workspace) -> Path:
    """A puruto-telegram whose inbox does not exist."""
    folder = workspace.home / "puruto-telegram"
    folder.mkdir(mode=0o755)
    return folder


def test_all_that_is_made_is_for_its_owner_alone(workspace: Workspace, umask: int) -> None:
    mirror = sibling(workspace)
    workspace.add_target()
    workspace.write_jobs({}, shell(COUNT), shell("exit 3", max_retries=1, retry_backoff_sec=0), shell(GATED))
    for words, code in ((("init-db",), 0), (("sync-jobs",), 0), (("run-now", "job-2"), 1), (("tick",), 0)):
        workspace.json(*words, code=code, env=DEEP)
    with ended(workspace.start("run-now", "job-0", env=DEEP)) as process:
        answer_of(process)
    database = workspace.root / "deep" / "er" / "cron.db"
    with closing(sqlite3.connect(database)) as holder:
        holder.execute("SELECT * FROM jobs").fetchall()
        workspace.json("run-now", "job-1", env=DEEP)
        found = modes(*(workspace.root / name for name in PERMITS[1:]), mirror / "inbox")
    names = {os.path.basename(path) for path in found}
    assert {"er", "cron.db", "cron.db-wal", "cron.db-shm", "cron.db.last_tick", "inbox", "cron-events.jsonl"} <= names
    assert {"events.jsonl", "attempt-2.request.json", "attempt-2.stdout", "attempt-2.stderr"} <= names
    assert wrong(found) == {}


def test_runs_are_for_their_owner_alone_when_nobody_made_their_folder(workspace: Workspace, umask: int) -> None:
    prepare(workspace, shell(COUNT))
    for name in ("runs", "notifications"):
        (workspace.root / name).rmdir()
    workspace.json("run-now", "job-0")
    assert wrong(modes(*(workspace.root / name for name in ("db", "runs", "notifications")))) == {}


def test_output_is_for_its_owner_alone_while_it_is_written(workspace: Workspace, umask: int) -> None:
    prepare(workspace, shell(GATED))
    with ended(workspace.start("run-now", "job-0")) as process:
        wait_for_run(workspace)
        assert wrong(modes(workspace.root / "runs")) == {}
        release(workspace)
        answer_of(process)


def test_copies_before_a_migration_and_of_a_damaged_database_are_for_their_owner_alone(
    workspace: Workspace, umask: int
) -> None:
    workspace.write_jobs()
    folder = workspace.root / "db"
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(workspace.database)) as connection:
        connection.executescript((PROJECT / "store" / "sql" / "0001_initial.sql").read_text(encoding="utf-8"))
        connection.executescript("PRAGMA application_id = 0x5043524E; PRAGMA user_version = 1")
    workspace.database.chmod(0o600)
    workspace.json("sync-jobs")
    workspace.database.write_bytes(b"damaged")
    workspace.json("doctor", "--repair", "--json", code=1)
    found = modes(folder)
    assert any(name.endswith(".v1.bak") for name in found)
    assert any(".corrupt-" in name for name in found)
    assert wrong(found) == {}


def test_an_invocation_outside_any_job_leaves_nothing_that_others_may_read(workspace: Workspace, umask: int) -> None:
    workspace.add_target()
    words = ["--target", "puruto-target", "--action", "run", "--prompt", "Do it"]
    done = subprocess.run(
        [sys.executable, str(workspace.root / "invoker.py"), *words],
        env={**workspace.environ, "PURUTO_CRON_RUN_ID": "by-hand", "PURUTO_CRON_SLOT": ""},
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    left = workspace.root / "runs"
    assert wrong(modes(left) if left.exists() else {}) == {}


def test_folders_that_are_there_keep_their_mode(tmp_path: Path, umask: int) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(0o750)
    make_private_folder(str(tmp_path / "theirs" / "a" / "b"))
    make_private_folder(str(tmp_path / "theirs"))
    found = modes(tmp_path / "theirs")
    assert list(found.values()) == [0o750, 0o700, 0o700]


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="file"):
            make_private_folder(str(path))
