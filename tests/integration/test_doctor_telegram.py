"""`doctor` and the sibling that sends: whether its inbox is drained, by the real inbox.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from doctor import telegram
from doctor.scene import Scene
from tests.support_machine import COUNT, Machine, shell
from tests.workspace import PATIENCE, PROJECT, FakeClock, Workspace

SIBLING = PROJECT / "examples" / "purutos" / "puruto-telegram"


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    """With the sibling beside it, and one event in its inbox."""
    machine = Machine(workspace, clock)
    shutil.copytree(SIBLING, workspace.home / "puruto-telegram", ignore=shutil.ignore_patterns("db", "__pycache__"))
    machine.ready(shell(COUNT))
    machine.run_now()
    return machine


def findings(machine: Machine) -> dict[str, str]:
    """Code and message of what it has to say."""
    app = machine.app()
    found = telegram.check(Scene(app, app.settings))
    return {finding.code: finding.message for finding in found}


def drain(machine: Machine, *words: str) -> dict[str, Any]:
    sibling = machine.workspace.home / "puruto-telegram"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PURUTO_")}
    done = subprocess.run(
        [sys.executable, "inbox.py", *words],
        cwd=sibling,
        env=environ,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    found: dict[str, Any] = json.loads(done.stdout or b"{}")
    return found


@pytest.mark.process
def test_an_event_that_waits_for_long_is_a_warning_until_it_is_drained(machine: Machine, clock: FakeClock) -> None:
    assert set(findings(machine)) == {"FINE"}
    clock.advance(minutes=11)
    size = (machine.workspace.home / "puruto-telegram/inbox/cron-events.jsonl").stat().st_size
    assert f"{size} bytes" in findings(machine)["INBOX_NOT_DRAINED"]
    assert drain(machine)["processed"] == 1
    assert set(findings(machine)) == {"FINE"}


@pytest.mark.process
def test_events_that_can_not_be_sent_are_a_warning_that_names_what_is_missing(machine: Machine) -> None:
    drain(machine, "--deliver")
    assert "PURUTO_TELEGRAM_BOT_TOKEN" in findings(machine)["TELEGRAM_NOT_SET_UP"]
    drain(machine)
    assert set(findings(machine)) == {"FINE"}, "a drain without --deliver has taken them"


def test_events_that_were_set_aside_recently_are_a_warning(machine: Machine, clock: FakeClock) -> None:
    aside = machine.workspace.home / "puruto-telegram" / "db" / "cron-set-aside.jsonl"
    aside.parent.mkdir()
    aside.write_text("{}\n")
    instant = clock.now().timestamp()
    os.utime(aside, (instant, instant))
    assert str(aside) in findings(machine)["EVENTS_SET_ASIDE"]
    clock.advance(days=8)
    assert "EVENTS_SET_ASIDE" not in findings(machine)


@pytest.mark.parametrize("offsets", [b"", b"[]", b"nonsense", b'{"inbox/cron-events.jsonl": 99999999}', b'{"a": 1}'])
def test_an_unreadable_offset_counts_as_nothing_drained(machine: Machine, clock: FakeClock, offsets: bytes) -> None:
    folder = machine.workspace.home / "puruto-telegram" / "db"
    folder.mkdir()
    (folder / "inbox_offsets.json").write_bytes(offsets)
    clock.advance(minutes=11)
    assert "INBOX_NOT_DRAINED" in findings(machine)


@pytest.mark.parametrize("line", [b"half a line", b"[]\n", b'{"ts": 1}\n', b'{"ts": "noon"}\n', b"\xff\n"])
def test_a_line_that_is_not_an_event_is_no_internal_error(machine: Machine, line: bytes) -> None:
    (machine.workspace.home / "puruto-telegram/inbox/cron-events.jsonl").write_bytes(line)
    assert set(findings(machine)) == {"FINE"}


def test_without_an_inbox_py_there_is_no_finding(machine: Machine, clock: FakeClock) -> None:
    (machine.workspace.home / "puruto-telegram" / "inbox.py").unlink()
    clock.advance(days=1)
    assert findings(machine) == {}
