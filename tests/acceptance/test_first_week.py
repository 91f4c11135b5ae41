"""The guides to what people do in their first week, word for word: as an ordinary account, in a folder with an accent.

Each test gets a copy of one project that was cloned and installed once, which is also a test of copies and moves.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import files_of_the_project
from tests.acceptance.test_readme import blocks_in
from tests.support_account import Account, identity, owned
from tests.support_machine import fill, small_disk
from tests.workspace import PROJECT, needs

# All of them need the clone with its environment, which one worker makes once.
pytestmark = [pytest.mark.full, pytest.mark.xdist_group("first week"), needs("bash", "git", "make")]

HELLO = {
    "job_id": "hello", "puruto_target": "puruto-hello", "schedule": "@yearly", "prompt": "Say hello",
    "command": ["echo", "hello"], "notify_channel": "none",
}  # fmt: skip
NEW_ENOUGH = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"


def page(name: str) -> list[str]:
    """The blocks of commands of a guide."""
    return blocks_in((PROJECT / "docs" / "guides" / f"{name}.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def town() -> Iterator[Path]:
    """A folder that every account may enter, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="puruto-cron-accounts-"))
    folder.chmod(0o755)
    owned_folder(folder / "shared")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def settle(town: Path) -> Callable[[str], Account]:
    """Makes a home for an account."""
    return lambda name: Account(owned_folder(town / name), town / "shared")


def owned_file(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    owned(path)


def owned_folder(path: Path) -> Path:
    path.mkdir()
    return owned(path)


@pytest.fixture(scope="session")
def first(settle: Callable[[str], Account]) -> Account:
    """The account that has cloned and installed; its upstream is the folder `upstream` beside its home."""
    account = settle("first")
    trial = (
        f"for python in python3 python3.14 python3.13 python3.12 python3.11; do $python -c '{NEW_ENOUGH}' && exit; done"
    )
    if subprocess.run(["bash", "-c", trial], env=account.environ, capture_output=True, **identity()).returncode:
        pytest.skip("there is no Python 3.11 with venv that every account may start")
    upstream = owned_folder(account.home.parent / "upstream")
    for name in files_of_the_project():
        (upstream / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, upstream / name)
    for path in upstream.rglob("*"):
        owned(path)
    account.shell("git init --quiet --initial-branch main", upstream)
    commit(account, "What there is")
    account.shell(
        'mkdir "mis púrutos" && cd "mis púrutos" && git clone --quiet ../../upstream puruto-cron', account.home
    )
    account.shell("make install")
    return account


def commit(account: Account, message: str) -> None:
    """A commit of everything, upstream."""
    who = "-c user.name=Upstream -c user.email=up@example.org"
    account.shell(f"git add --all && git {who} commit --quiet --message '{message}'", upstream_of(account))


def upstream_of(account: Account) -> Path:
    return account.home.parent / "upstream"


@pytest.fixture
def me(first: Account, settle: Callable[[str], Account]) -> Account:
    """A copy of the first account's folder in a home of its own, with a job that has run once, and cron's line."""
    # Short, as cron's line has room for so much.
    account = settle(f"me{len(list(first.home.parent.iterdir()))}")
    shutil.copytree(first.root, account.root, symlinks=True)
    for path in (account.root.parent, *account.root.parent.rglob("*")):
        if os.geteuid() == 0:
            os.lchown(path, os.stat(account.home).st_uid, os.stat(account.home).st_gid)
    account.shell("make install")
    account.shell('mkdir "../puruto-hello"')
    (account.root / ".jobs.json").write_text(json.dumps({"jobs": [HELLO]}, indent=4), encoding="utf-8")
    account.shell("printf '0 5 * * * mine\\n' | crontab -")
    for words in ("init-db", "sync-jobs", "run-now hello", "install-crontab"):
        assert account.main(words)["status"] == "ok"
    assert account.cron() == 0
    return account


def runs(account: Account, folder: Path | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.main("history", "hello", folder=folder)["runs"]
    return found


def complaints(text: str) -> set[str]:
    """The codes of what a `doctor` calls an error or a warning."""
    return set(re.findall(r"\[([A-Z_]+)\]", text)) - {"FINE"}


def test_the_folder_is_one_that_others_stumble_over(me: Account) -> None:
    assert " " in str(me.root)
    assert not str(me.root).isascii()
    assert me.shell("id -u").strip() != "0"


# --- upgrading ---


@pytest.mark.parametrize("committed", [False, True])
def test_an_upgrade_keeps_the_jobs_and_brings_the_rest(me: Account, committed: bool) -> None:
    mine = (me.root / ".jobs.json").read_bytes()
    if committed:
        me.shell(
            "git config user.name Me; git config user.email me@example.org; git commit --quiet --all --message Mine"
        )
    else:
        me.shell("git config pull.rebase true")
    number = len(list(upstream_of(me).glob("docs/new*")))
    (upstream_of(me) / f"docs/new{number}.md").write_text("# New\n")
    for name in ("examples/jobs.json", "requirements.lock"):
        with (upstream_of(me) / name).open("a", encoding="utf-8") as file:
            file.write("# Changed\n" if name.endswith("lock") else "\n")
    commit(me, "A new version")
    (block,) = page("upgrade")
    said = me.shell(block, fails=(1,))
    assert (me.root / f"docs/new{number}.md").exists()
    assert (me.root / ".jobs.json").read_bytes() == mine
    assert len(runs(me)) == 1
    assert json.loads(next(line for line in said.splitlines() if '"synced_jobs"' in line))["unchanged"] == ["hello"]
    assert complaints(said) == set()
    assert me.cron() == 0
    assert (
        "nothing to commit" in me.shell("git status")
        if committed
        else me.shell("git diff --name-only") == ".jobs.json\n"
    )


# --- backup ---


def test_a_backup_is_restored_beside_it_and_in_place(me: Account) -> None:
    back_up, restore, in_place = page("backup")
    (me.root / ".env").write_text("PURUTO_CRON_MAX_RUNNING=3\n")
    owned(me.root / ".env").chmod(0o600)
    me.shell(back_up)
    me.main("run-now", "hello")
    assert len(runs(me)) == 2
    kept = me.root.parent / "backup"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()} == {
        "cron.db": 0o600,
        "files.tar.gz": 0o600,
    }
    said = me.shell(restore, fails=(1,))
    assert complaints(said) <= {"CRON_BLOCK_TWIN", "NO_CRON_LINE", "NO_TICK", "NOT_IN_STEP"}, (
        "it has not been started there yet; the crontab starts the copy that was backed up"
    )
    copy = me.root.parent / "restored"
    assert [row["run_id"] for row in runs(me, copy)] == [row["run_id"] for row in runs(me)[-1:]]
    assert me.main("status", folder=copy)["paths"]["root"] == str(copy)
    assert (copy / ".env").read_text() == "PURUTO_CRON_MAX_RUNNING=3\n"
    assert me.main("run-now", "hello", folder=copy)["status"] == "ok"
    me.shell(in_place, fails=(1,))
    assert len(runs(me)) == 1
    me.shell(back_up)


# --- moving ---


def test_a_moved_folder_works_at_its_new_place(me: Account) -> None:
    move, moved_already = page("move")
    said = me.shell(move, fails=(1,))
    there = me.root.parent / "el año" / "purutos" / "puruto-cron"
    assert not me.root.exists()
    assert complaints(said) == {"TARGET_NOT_FOUND"}, "it stayed where it was"
    owned_file(there / ".env", f"PURUTO_HOME={me.root.parent}\n")
    assert str(there) in me.crontab
    assert f"{me.root} " not in me.crontab
    shown = me.shell(". .venv/bin/activate && command -v puruto-cron && puruto-cron history hello", there).splitlines()
    assert shown[0] == f"{there}/.venv/bin/puruto-cron"
    (row,) = json.loads(shown[1])["runs"]
    assert "hello" in me.shell(f".venv/bin/python main.py logs --run {row['run_id']}", there)
    assert me.cron() == 0

    # Once more, without thinking of anything first.
    there.rename(me.root)
    found = me.main("doctor", "--json")["findings"]
    assert {"VENV_MOVED"} <= {finding["code"] for finding in found}
    said = me.shell(moved_already, fails=(1,))
    assert "VENV_MOVED" not in me.shell(".venv/bin/python main.py doctor", fails=(1,))
    assert str(there) not in me.crontab
    assert "0 5 * * * mine\n" in me.crontab
    assert me.cron() == 0
    assert me.main("run-now", "hello")["status"] == "ok"


# --- uninstalling ---


def test_nothing_is_left_after_it_was_uninstalled(me: Account) -> None:
    (block,) = page("uninstall")
    me.shell(block)
    left = [path for path in me.home.rglob("*") if path.parent != me.home / "bin"]
    assert {str(path.relative_to(me.home)) for path in left} == {
        "bin", "crontab.txt", "mis púrutos", "mis púrutos/puruto-hello",
    }  # fmt: skip
    assert me.crontab == "0 5 * * * mine\n"


# --- renaming, and once as root ---


def test_a_renamed_job_keeps_its_history(me: Account) -> None:
    (block,) = page("rename-job")
    me.shell(block)
    rows = me.main("history", "good-morning")["runs"]
    assert [row["run_id"].partition("-2")[0] for row in rows] == ["hello"]
    assert [job["job_id"] for job in me.main("list")["jobs"]] == ["good-morning"]
    assert me.cron() == 0
    assert me.main("run-now", "good-morning")["status"] == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run a command as root")
def test_what_was_done_once_as_root_is_in_nobodys_way(me: Account) -> None:
    (block,) = page("sudo")
    as_root, *rest = block.splitlines()
    command = as_root.removeprefix("sudo ")
    done = subprocess.run(["bash", "-ec", command], cwd=me.root, env=me.environ, capture_output=True, text=True)
    assert json.loads(done.stdout)["status"] == "ok", done.stderr
    said = me.shell("\n".join(rest), fails=(1,))
    assert json.loads(said.splitlines()[0])["status"] == "ok"
    assert complaints(said) <= {"NO_TICK"}
    assert [str(path) for path in me.root.rglob("*") if path.lstat().st_uid == 0] == []
    assert len(runs(me)) == 3


# --- a full disk ---


def test_on_a_full_disk_nothing_is_lost_and_prune_makes_room(me: Account) -> None:
    look, make_room, again = page("full-disk")
    with small_disk(me.home / "disk", "12m") as disk:
        owned(disk)
        for name in ("db", "runs"):
            me.shell(f"mv {name} ~/disk/{name} && ln -s ~/disk/{name} {name}")
        loud = {**HELLO, "command": ["sh", "-c", "head -c 900000 /dev/zero"], "max_retries": 0}
        (me.root / ".jobs.json").write_text(json.dumps({"jobs": [loud]}), encoding="utf-8")
        me.main("sync-jobs")
        for _ in range(4):
            assert me.main("run-now hello")["status"] == "ok"
        before = runs(me)
        fill(disk)
        assert "DATABASE_FULL" in me.shell(look)
        assert runs(me) == before
        made = json.loads(me.shell(make_room))
        assert made["outputs"] >= 2
        said = me.shell(again, fails=(1,))
        assert json.loads(said.splitlines()[0])["status"] == "ok"
        assert len(runs(me)) == len(before) + 1


# --- another Python ---


def without_its_python(me: Account) -> str:
    for path in (me.root / ".venv" / "bin").glob("python*"):
        path.unlink()
    me.shell("ln -s /usr/bin/python3.4 .venv/bin/python")
    return "is gone, as after an upgrade of the system: run make install in"


def with_another_one(me: Account) -> str:
    """What is left for the old version is what the new one finds: libraries in a folder that it does not look into."""
    (libraries,) = (me.root / ".venv" / "lib").glob("python3.*")
    libraries.rename(libraries.with_name("python3.4"))
    stamp = me.root / ".venv" / ".installed"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text(encoding="utf-8")), "python": "3.4"}))
    return "its libraries are for Python 3.4, as after an upgrade of the system"


@pytest.mark.parametrize("upgrade", [without_its_python, with_another_one])
def test_after_an_upgrade_of_the_system_cron_says_why_and_make_install_is_enough(
    me: Account, upgrade: Callable[[Account], str]
) -> None:
    me.main("edit-job", "hello", "--schedule", "'* * * * *'", "--catch-up", "latest")
    before = me.crontab
    reason = upgrade(me)
    me.shell(": > db/tick.log; touch .jobs.json")
    assert me.cron() != 0
    repair, look = page("another-python")
    assert reason in me.shell(look)
    said = me.shell(repair, fails=(1,))
    assert complaints(said) <= {"NO_TICK", "NOT_IN_STEP"}, "no tick has come since"
    assert me.crontab == before
    assert me.cron() == 0
    assert me.main("run-now", "hello")["status"] == "ok"
