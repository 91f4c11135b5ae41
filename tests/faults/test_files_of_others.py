"""Files and folders that this user may not use: what reads them names one of them, or does without."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support_app import NOBODY, public_folder
from tests.support_machine import shell
from tests.workspace import Workspace

pytestmark = pytest.mark.process

EVERY = ("status", "list", "show RUN", "logs --run RUN", "doctor --json", "dry-run job-0", "tick")
#: What is closed, and which of these commands name it.
CLOSED = {
    "runs": ("status", "show RUN", "logs --run RUN", "doctor --json", "dry-run job-0"),
    "runs/job-0": ("show RUN", "logs --run RUN", "dry-run job-0"),
    "runs/job-0/RUN": ("show RUN", "logs --run RUN"),
    "runs/job-0/RUN/attempt-1.stdout": ("show RUN", "logs --run RUN"),
    "runs/job-0/RUN/attempt-1.request.json": ("show RUN", "logs --run RUN"),
    "db": EVERY,
    "db/cron.db": EVERY,
    "db/cron.db.last_tick": ("doctor --json",),
    "db/puruto-cron.log": ("doctor --json",),
    ".jobs.json": ("status", "doctor --json"),
    ".jobs.json.lock": ("doctor --json",),
    ".env": EVERY,
    "notifications": ("status", "doctor --json"),
    "notifications/events.jsonl": ("status", "doctor --json"),
    "../puruto-target": ("doctor --json",),
    "../puruto-target/invoke": (),
    "../puruto-telegram": ("doctor --json",),
    "../puruto-telegram/inbox": ("doctor --json",),
    "../.purutos.json": (),
    "../closed-on-the-path": (),
}
#: Takes from root what lets it use the files of others: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH. Source: capset(2).
_LIKE_OTHERS = """import ctypes
rights = (ctypes.c_uint32 * 6)()
version = (ctypes.c_uint32 * 2)(0x20080522, 0)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.capget(version, rights) == 0
for number in (0, 1):
    rights[number] &= ~0b110
assert libc.capset(version, rights) == 0
"""
BEFORE = _LIKE_OTHERS if os.getuid() == 0 else ""


@pytest.fixture(scope="module")
def lived_in() -> Iterator[tuple[Workspace, str]]:
    """A workspace, and the ID of a run in it."""
    if os.getuid() == 0 and not sys.platform.startswith("linux"):
        pytest.skip("root may use all files")
    with public_folder() as folder:
        workspace = Workspace(folder)
        workspace.add_target()
        (workspace.home / "puruto-telegram" / "inbox").mkdir(parents=True)
        (workspace.home / "closed-on-the-path").mkdir()
        workspace.environ["PATH"] = f"{workspace.home / 'closed-on-the-path'}:{workspace.environ['PATH']}"
        (workspace.root / ".env").write_text("PURUTO_CRON_MAX_RUNNING=3\n")
        (workspace.home / ".purutos.json").write_text('{"purutos": []}')
        workspace.ready(shell("echo said"), shell("nosuchprogram", job_id="never"))
        workspace.json("tick")
        workspace.json("run-now", "job-0")
        (workspace.root / ".jobs.json.lock").touch()
        yield workspace, workspace.runs()[0]["run_id"]


@contextmanager
def closed_to_us(path: Path) -> Iterator[None]:
    """Lets nobody use a file or a folder; as root, it is another user's."""
    status = path.stat()
    path.chmod(0)
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    try:
        yield
    finally:
        os.chown(path, status.st_uid, status.st_gid)
        path.chmod(status.st_mode)


@pytest.mark.parametrize("closed", CLOSED)
def test_what_may_not_be_used_is_named_or_done_without(lived_in: tuple[Workspace, str], closed: str) -> None:
    workspace, run_id = lived_in
    path = Path(os.path.normpath(workspace.root / closed.replace("RUN", run_id)))
    named = []
    with closed_to_us(path):
        for words in EVERY:
            done = workspace.run(*words.replace("RUN", run_id).split(), before=BEFORE)
            assert b"INTERNAL_ERROR" not in done.stdout
            assert (done.returncode, done.stderr) in ((0, b""), (1, b""), (2, b""))
            if str(path) in json.dumps(json.loads(done.stdout), ensure_ascii=False):
                named.append(words)
    assert set(named) >= set(CLOSED[closed])


def test_a_lock_that_may_not_be_used_is_what_an_edit_names(lived_in: tuple[Workspace, str]) -> None:
    workspace, _ = lived_in
    lock = workspace.root / ".jobs.json.lock"
    lock.touch()
    with closed_to_us(lock):
        error = workspace.json("edit-job", "job-0", "--note", "x", code=2, before=BEFORE)["error"]
    assert (error["code"], f"{lock} belongs to" in error["message"]) == ("JOBS_FILE_UNWRITABLE", True)
    assert str(lock) in error["details"]["hint"]
