"""Debian's cron and BusyBox' crond beside `import-crontab`, on the same crontab: what did each line do?"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.test_readme import private_cron, reason_without_cron
from tests.integration.test_import_crontab import DONE, LINES
from tests.workspace import Workspace, ended, wait_for


def done_in(home: Path) -> dict[str, str]:
    """What the lines left, without the name of the folder."""
    return {path.name: path.read_text().replace(str(home), "{home}") for path in home.iterdir()}


@pytest.mark.full
def test_debians_cron_and_an_imported_job_do_the_same(workspace: Workspace, tmp_path: Path) -> None:
    if reason := reason_without_cron():
        assert not os.environ.get("CI"), f"CI must run this test, but it {reason}"
        pytest.skip(reason)
    by_cron, by_us = workspace.home / "by cron", workspace.home / "by us"
    for home in (by_cron, by_us):
        home.mkdir()
        (tmp_path / home.name).write_text(LINES % home)
    install = f"crontab {shlex.quote(str(tmp_path / by_cron.name))}"
    with private_cron(workspace.root, install, tmp_path / "cron.log") as cron:

        def all_done() -> bool:
            assert cron.poll() is None, (tmp_path / "cron.log").read_text()
            return done_in(by_cron) == DONE

        wait_for(all_done, what=f"the lines that cron runs: {DONE}", seconds=150)

    workspace.json("init-db")
    for new in workspace.json("import-crontab", str(tmp_path / by_us.name))["imported"]:
        assert workspace.json("run-now", new["job_id"], "--force")["status"] == "ok"
    assert done_in(by_us) == done_in(by_cron)


BUSYBOX = r"""
HOME=%s
*/1 * * * * cd "$HOME" && echo "two  words" | tr a-z A-Z > pipe && false; echo "$?" >> pipe; [ -t 0 ]; cat >> pipe
* * * * * cd "$HOME" && for part in a b; do echo "$part"; done > loop 2>&1
0-59 * * * mon-sat,sun cd "$HOME" && echo done > names
"""
BUSYBOX_DONE = {"pipe": "TWO  WORDS\n1\n", "loop": "a\nb\n", "names": "done\n"}


def busybox() -> str:
    """A BusyBox with `crond` and `crontab`; Debian's plain `busybox` has neither. Skips the test if there is none."""
    for name in ("busybox", "/usr/lib/busybox-static/busybox"):
        program = shutil.which(name)
        if program is not None:
            applets = subprocess.run([program, "--list"], capture_output=True, text=True).stdout.split()
            if {"crond", "crontab"} <= set(applets):
                return program
    pytest.skip("needs a BusyBox with crond and crontab; on Debian: apt-get install busybox-static")


@pytest.fixture
def spool(workspace: Workspace) -> Path:
    """A folder for crontabs, and a program `crontab` at the head of the PATH: BusyBox' own, which uses it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: BusyBox' crond runs crontabs of root alone")
    program = busybox()
    folder, programs = workspace.home / "spool", workspace.home / "bin"
    folder.mkdir()
    programs.mkdir()
    (programs / "crontab").write_text(f'#!/bin/sh\nexec {program} crontab -c {shlex.quote(str(folder))} "$@"\n')
    (programs / "crontab").chmod(0o755)
    workspace.environ["PATH"] = f"{programs}:{workspace.environ['PATH']}"
    return folder


def test_busyboxs_crontab_is_read_and_written(workspace: Workspace, spool: Path) -> None:
    workspace.json("init-db")
    codes = [warning["code"] for warning in workspace.json("import-crontab")["warnings"]]
    assert "NO_LINES" in codes, "there is no crontab yet, and BusyBox says so in its own words"
    assert workspace.json("install-crontab")["changed"] is True
    assert workspace.json("install-crontab")["changed"] is False
    (crontab,) = [path for path in spool.iterdir() if path.name != "cron.update"]
    assert "tick --quiet" in crontab.read_text()
    assert workspace.json("uninstall-crontab")["crontab"] == ""
    shutil.rmtree(spool)
    refused = workspace.json("install-crontab", code=1)["error"]
    assert refused["code"] == "CRONTAB_UNUSABLE", "a folder that is missing is an error, not an empty crontab"
    assert "Make the folder" in refused["details"]["hint"]


@pytest.mark.full
def test_busyboxs_crond_starts_the_tick_and_does_the_same_as_an_imported_job(
    workspace: Workspace, spool: Path, tmp_path: Path
) -> None:
    home = tmp_path / "by us"
    home.mkdir()
    by_cron = Path(workspace.environ["HOME"]) / "by cron"
    by_cron.mkdir()
    workspace.json("init-db")
    # BusyBox ignores HOME=…, so the lines name their folder.
    (spool / "root").write_text(BUSYBOX.replace('"$HOME"', shlex.quote(str(by_cron))) % by_cron)
    workspace.json("install-crontab")
    log = tmp_path / "crond.log"
    command = [busybox(), "crond", "-f", "-l", "8", "-L", str(log), "-c", str(spool)]
    with ended(subprocess.Popen(command, env=workspace.environ, stdin=subprocess.DEVNULL)) as crond:

        def all_done() -> bool:
            assert crond.poll() is None, log.read_text()
            ticked = workspace.json("list")["warnings"] == []
            return ticked and {path.name: path.read_text() for path in by_cron.iterdir()} == BUSYBOX_DONE

        wait_for(all_done, what=f"the lines that crond runs, and a tick: {BUSYBOX_DONE}", seconds=150)

    (tmp_path / "tab").write_text(BUSYBOX % home)
    for new in workspace.json("import-crontab", str(tmp_path / "tab"))["imported"]:
        assert workspace.json("run-now", new["job_id"], "--force")["status"] == "ok"
    assert {path.name: path.read_text() for path in home.iterdir()} == BUSYBOX_DONE
