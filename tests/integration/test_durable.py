"""What is put in place by a rename stays there after a loss of power: the content is synced, then the folder."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from channels.jsonl import AppendOnly
from core import log_file
from core.durable import put_in_place, sync_folder
from store.creation import create
from system.daemon_lock import DaemonLock
from tests.support_machine import COUNT, Machine, shell
from tests.workspace import FakeClock, Workspace


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and renamed, by name, in order."""
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        steps.append(f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}'))}")

    def renamed(fresh: str, path: str) -> None:
        replace(fresh, path)
        steps.append(f"rename {os.path.basename(path)}")

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr("os.replace", renamed)
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc, to name what is synced")
    return steps


def test_a_rename_is_followed_by_a_sync_of_its_folder(tmp_path: Path, done: list[str]) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "sub").mkdir()
    put_in_place(tmp_path / "a", tmp_path / "b")
    assert done == ["rename b", f"sync {tmp_path.name}"]
    put_in_place(tmp_path / "b", tmp_path / "sub" / "c")
    assert set(done[3:]) == {f"sync {tmp_path.name}", "sync sub"}


def test_a_folder_that_cannot_be_synced_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("os.fsync", refuse)
    (tmp_path / "a").touch()
    put_in_place(tmp_path / "a", tmp_path / "b")
    sync_folder(tmp_path / "none")
    assert (tmp_path / "b").exists()


def test_an_edited_jobs_file_is_durable(workspace: Workspace, clock: FakeClock, done: list[str]) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT))
    del done[:]
    machine.run("edit-job", "job-0", "--timeout-sec", "77")
    at = done.index("rename .jobs.json")
    assert done[at - 1].startswith("sync .jobs.json.new")
    assert done[at + 1] == f"sync {workspace.root.name}"


def test_a_new_file_of_events_and_one_that_is_put_aside_are_durable(tmp_path: Path, done: list[str]) -> None:
    path = tmp_path / "notifications" / "events.jsonl"
    with AppendOnly(str(path), lambda _: None) as file:
        file.append(b"{}\n")
        file.append(b"{}\n")
        assert done == ["sync events.jsonl", "sync notifications", "sync events.jsonl"]
        file.rotate(1, "2026-02-25")
    assert done[3:] == ["rename events-2026-02-25.jsonl", "sync notifications"]


def test_a_new_database_a_rotated_log_and_the_daemons_file_are_durable(tmp_path: Path, done: list[str]) -> None:
    path = tmp_path / "db" / "cron.db"
    create(str(path))[0].close()
    assert done[-1] == "sync db"
    log_file.append(str(tmp_path / "log"), b"line\n", 1, 3)
    assert done[-2:] == ["rename log.1", f"sync {tmp_path.name}"]
    with DaemonLock(str(path), datetime(2026, 2, 25, tzinfo=UTC)):
        assert done[-2:] == ["rename cron.db.daemon.json", "sync db"]
