"""Root in somebody's folder: what the program makes there gets that owner, and the rest is named."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import ownership
from tests.support_daemon import NEVER, daemon, wait_for_rows
from tests.support_machine import shell
from tests.workspace import Workspace

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
]

OWNER = 54321


def paths(folder: Path) -> Iterator[Path]:
    yield folder
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in [*folders, *files])


def owners(folder: Path) -> dict[str, int]:
    """Of all that is not the owner's."""
    found = {str(path.relative_to(folder)): os.lstat(path).st_uid for path in paths(folder)}
    return {path: uid for path, uid in found.items() if uid != OWNER}


@pytest.fixture
def somebodys(workspace: Workspace) -> Workspace:
    """A workspace of somebody else. The program itself is linked from a copy of root's."""
    workspace.add_target(invoke=None)
    (workspace.home / "puruto-telegram").mkdir()
    workspace.write_jobs(shell("echo done"), shell("cat nowhere"))
    for path in paths(workspace.home):
        if path.is_dir() or path.name == ".jobs.json":
            os.chown(path, OWNER, OWNER, follow_symlinks=False)
    return workspace


def made(workspace: Workspace) -> dict[str, int]:
    found = [workspace.root / name for name in ("db", "runs", "notifications", ".jobs.json")]
    found.append(workspace.home / "puruto-telegram")
    return {f"{path.name}/{name}": uid for path in found if path.exists() for name, uid in owners(path).items()}


def test_all_that_the_program_makes_gets_the_owner_of_its_folder(somebodys: Workspace) -> None:
    workspace = somebodys
    for words in (["init-db"], ["sync-jobs"], ["run-now", "job-0"], ["run-now", "job-1"], ["pause-job", "job-0"]):
        done = workspace.run(*words)
        assert b"RAN_AS_ROOT" in done.stdout, words
    workspace.run("resume-job", "job-0")
    workspace.make_due()
    workspace.run("tick")
    with daemon(workspace, NEVER) as there:
        workspace.make_due("job-0", minutes_ago=3)
        assert there.notify()
        wait_for_rows(workspace, "job-0", "ok", "ok", "ok")
        assert made(workspace) == {}
        there.signal(signal.SIGTERM)
        assert there.wait() == 0
    assert (workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl").exists()
    assert made(workspace) == {}


def test_root_leaves_no_compiled_files(somebodys: Workspace) -> None:
    # A fork of the tests' server has not run the first lines of main.py.
    before = set(somebodys.root.rglob("__pycache__/*"))
    for words in (["init-db"], ["run-now", "job-0"]):
        somebodys.run(*words, fresh=True)
    assert set(somebodys.root.rglob("__pycache__/*")) == before


def test_an_idle_tick_warns_too(somebodys: Workspace) -> None:
    for words in (["init-db"], ["sync-jobs"], ["tick"]):
        somebodys.run(*words)
    for _ in range(2):
        assert [entry["code"] for entry in somebodys.json("tick")["warnings"]] == ["RAN_AS_ROOT"]


def test_doctor_names_what_belongs_to_somebody_else_at_all_depths(somebodys: Workspace) -> None:
    workspace = somebodys
    workspace.run("init-db")
    deep = workspace.root / "runs" / "job 0" / "run" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "left").touch()
    (workspace.root / "runs" / "link").symlink_to("/etc")
    os.chown(workspace.root / "runs" / "link", OWNER, OWNER, follow_symlinks=False)
    for path in paths(workspace.root / "runs" / "job 0"):
        os.chown(path, OWNER, OWNER)
    os.chown(deep / "left", 0, 0)
    (found,) = [f for f in workspace.json("doctor", "--json", code=1)["findings"] if f["code"] == "FOREIGN_OWNER"]
    assert str(deep / "left") in found["message"]
    assert found["cure"] == f"Run: sudo chown -R {OWNER}: '{deep / 'left'}'"
    for number in range(30):
        (deep / f"{number}").touch()
    found = [f for f in workspace.json("doctor", "--json", code=1)["findings"] if f["code"] == "FOREIGN_OWNER"]
    assert len(found) == 21
    assert found[-1]["message"].startswith("11 more")


def test_only_what_was_just_made_is_given_away(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, OWNER, OWNER)
    secret = tmp_path / "secret"
    secret.write_text("of root")
    os.link(secret, folder / "second name")
    os.symlink(secret, folder / "link")
    for name in ("second name", "link"):
        descriptor = ownership.create(folder / name, os.O_RDWR | os.O_CREAT)
        ownership.give(descriptor, folder)
        os.close(descriptor)
    assert secret.stat().st_uid == 0
    os.close(ownership.create(folder / "new", os.O_WRONLY | os.O_CREAT))
    ownership.make_folder(str(folder / "made"))
    assert {(folder / name).stat().st_uid for name in ("new", "made")} == {OWNER}
    ownership.make_folder(str(tmp_path / "mine"))
    assert (tmp_path / "mine").stat().st_uid == 0
