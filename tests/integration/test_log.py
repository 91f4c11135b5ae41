"""`db/puruto-cron.log` as real processes write it: levels, faults, masks, rotation, and folders that refuse."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from core import log, log_file
from core.boundary import guarded
from tests.support_app import as_nobody, public_folder, python
from tests.support_daemon import NEVER, daemon
from tests.support_machine import COUNT, prepare, shell
from tests.workspace import PATIENCE, FakeClock, Workspace

pytestmark = pytest.mark.process

SECRET = "s3cr3t-of-the-bank"
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (DEBUG|INFO|WARNING|ERROR) pid=\d+"
    r"(?: job=(\S+))?(?: run=(\S+))?(?: code=(\S+))?(?: ref=(\S+))? (.+)"
)
#: A fault of ours whose text holds a secret, in the middle of `status`.
BROKEN_STATUS = f"""
import app.session
def broken(self, now):
    raise KeyError("{SECRET}")
app.session.Session.scheduler_health = broken
"""
#: The database refuses each renewal of a lease, and notes of processes.
BUSY = """
import store.runs
from core.errors import DatabaseLocked
def busy(self, *words):
    raise DatabaseLocked("the database is locked")
store.runs.Runs.record_child = busy
"""


def log_of(workspace: Workspace) -> Path:
    return workspace.database.parent / log.FILE


def lines(path: Path) -> list[tuple[str, ...]]:
    """(level, job, run, code, reference, message) of each line; a line of another form fails."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("    "):
            match = LINE.fullmatch(line)
            assert match, line
            found.append(match.groups(""))
    return found


# --- what is written ---


def test_commands_that_work_write_nothing_by_default(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    workspace.json("tick")
    workspace.json("status")
    assert not log_of(workspace).exists()


def test_an_idle_tick_writes_nothing_even_when_all_is_to_be_written(workspace: Workspace) -> None:
    workspace.environ["PURUTO_CRON_LOG"] = "debug"
    workspace.ready({"schedule": "0 0 29 2 *"})
    workspace.json("tick")
    log_of(workspace).unlink(missing_ok=True)
    workspace.json("tick")
    assert not log_of(workspace).exists()


def test_the_setting_asks_for_more(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    workspace.json("tick", env={"PURUTO_CRON_LOG": "info"})
    (run,) = workspace.runs()
    names = ("INFO", run["job_id"], run["run_id"])
    messages = [line[5] for line in lines(log_of(workspace)) if line[:3] == names]
    assert messages[0] == "The run starts (schedule)"
    assert re.fullmatch(r"The run ended: ok after \d+\.\d s, attempt 1", messages[1])


def test_a_level_that_is_none_is_refused(workspace: Workspace) -> None:
    answer = workspace.json("status", code=2, env={"PURUTO_CRON_LOG": "verbose"})
    (problem,) = answer["error"]["details"]["problems"]
    assert (problem["code"], problem["variable"]) == ("UNKNOWN_LEVEL", "PURUTO_CRON_LOG")


def test_the_file_is_for_its_owner_alone_whatever_the_umask(workspace: Workspace) -> None:
    workspace.ready()
    old = os.umask(0)
    try:
        workspace.run("status", before=BROKEN_STATUS, fresh=True)
    finally:
        os.umask(old)
    assert log_of(workspace).stat().st_mode & 0o777 == 0o600


def test_the_daemon_says_what_it_does_without_being_asked(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    with daemon(workspace, NEVER) as running:
        running.make_due()
        running.wait_for_line(lambda line: line.get("results"), "the end of a run")
        running.process.terminate()
        assert running.wait() == 0
    messages = [line[5] for line in lines(log_of(workspace)) if line[0] == "INFO"]
    for wanted in ("The daemon starts", "The run starts", "The run ended: ok", "was asked to end", "has ended"):
        assert any(wanted in message for message in messages), (wanted, messages)


def test_a_database_error_that_a_run_tolerates_leaves_a_line(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    assert workspace.json("tick", before=BUSY)["results"][0]["status"] == "ok"
    (run,) = workspace.runs()
    (line,) = lines(log_of(workspace))
    assert line[:4] == ("WARNING", run["job_id"], run["run_id"], "DATABASE_LOCKED")
    assert line[5] == "The run's process was not stored: the database is locked"


def test_a_broken_file_of_jobs_leaves_a_line_with_its_code(workspace: Workspace) -> None:
    workspace.ready()
    (workspace.root / ".jobs.json").write_text("{")
    workspace.json("tick")
    assert [(line[0], line[3]) for line in lines(log_of(workspace))] == [("WARNING", "JOBS_FILE_NOT_JSON")]


# --- faults ---


def test_a_fault_is_found_in_the_log_by_its_reference_and_without_secrets(workspace: Workspace) -> None:
    workspace.ready()
    (workspace.root / ".env").write_text(f"BANK_LOGIN={SECRET}\n")
    details = workspace.json("status", code=1, before=BROKEN_STATUS)["error"]["details"]
    assert details["type"] == "KeyError"
    assert details["log"] == str(log_of(workspace))
    ((level, _, _, code, reference, _),) = lines(log_of(workspace))
    assert (level, code, reference) == ("ERROR", "INTERNAL_ERROR", details["reference"])
    assert details["reference"] in details["hint"]
    text = log_of(workspace).read_text()
    assert "    KeyError: '***'" in text
    assert "in broken" in text
    assert SECRET not in text, "also the name of this variable says nothing of a secret"


def test_debug_prints_the_traceback_and_nothing_else_changes(workspace: Workspace) -> None:
    workspace.ready()
    plain = workspace.run("status", before=BROKEN_STATUS)
    assert plain.stderr == b""
    log_of(workspace).unlink()
    done = workspace.run("--debug", "status", before=BROKEN_STATUS)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    assert b"KeyError" in done.stderr
    assert b"in broken" in done.stderr
    assert done.stderr == log_of(workspace).read_bytes()


def test_debug_prints_nothing_when_nothing_is_wrong(workspace: Workspace) -> None:
    workspace.ready()
    assert workspace.json("--debug", "tick")["status"] == "ok"


def test_a_fault_while_the_settings_are_wrong_is_printed_by_debug(workspace: Workspace) -> None:
    before = "import config.settings\ndef broken(*words):\n    raise KeyError('oh')\nconfig.settings.read = broken\n"
    done = workspace.run("--debug", "status", before=before)
    assert done.returncode == 1
    assert b"INTERNAL_ERROR" in done.stdout


# --- places that refuse ---


def test_a_log_that_can_not_be_written_is_said_on_stderr_and_hurts_nothing(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT))
    workspace.make_due()
    log_of(workspace).mkdir()
    done = workspace.run("tick", before=BUSY)
    assert done.returncode == 0
    assert done.stderr.decode() == f"The log {log_of(workspace)} can't be written: Is a directory\n"
    assert [run["status"] for run in workspace.runs()] == ["ok"]
    error = workspace.run("status", before=BROKEN_STATUS)
    assert b'"reference"' not in error.stdout
    assert b"INTERNAL_ERROR" in error.stdout


def test_a_folder_that_may_not_be_written_refuses_lines_and_no_work(capsys: pytest.CaptureFixture[str]) -> None:
    with public_folder() as folder, as_nobody():
        path = folder / log.FILE
        with log.opened(lambda: log.Log(str(path), log.INFO, FakeClock().now, lambda _job: str)):
            log.warning("a")
            assert guarded(lambda: 1) == 1
        assert not path.exists()
    assert capsys.readouterr().err == f"The log {path} can't be written: Permission denied\n"


# --- several processes ---

WRITER = """
import sys
from core import log_file
path, name, count, rotate_at, kept = sys.argv[1:]
sys.stdin.readline()
for number in range(int(count)):
    data = f"{name} {number} {'x' * (number % 90)}\\n    below {name} {number}\\n".encode()
    log_file.append(path, data, int(rotate_at), int(kept))
"""


def write_at_once(path: Path, *, processes: int, count: int, rotate_at: int, kept: int) -> None:
    words = (str(count), str(rotate_at), str(kept))
    started = [python(WRITER, str(path), str(name), *words, stdin=subprocess.PIPE) for name in range(processes)]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (0, b"")


def test_processes_that_write_and_rotate_at_once_lose_mix_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / log.FILE
    write_at_once(path, processes=8, count=400, rotate_at=4_000, kept=300)
    files = sorted(tmp_path.iterdir())
    assert len(files) > 4, "it was rotated again and again while others wrote"
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    found: Counter[str] = Counter()
    for file in files:
        text = file.read_text()
        assert text == "" or text.endswith("\n")
        # An empty line may stand after one that was being written.
        heads = [line for line in text.split("\n") if line]
        for head, below in zip(heads[::2], heads[1::2], strict=True):
            name, number, padding = head.split(" ")
            assert padding == "x" * (int(number) % 90)
            assert below == f"    below {name} {number}"
            found[f"{name} {number}"] += 1
    assert found == Counter(f"{name} {number}" for name in range(8) for number in range(400))


def test_processes_that_rotate_at_once_keep_no_more_files_than_they_should(tmp_path: Path) -> None:
    path = tmp_path / log.FILE
    write_at_once(path, processes=6, count=300, rotate_at=2_000, kept=2)
    names = {file.name for file in tmp_path.iterdir()}
    assert f"{log.FILE}.2" in names, "it was rotated more than once"
    assert names <= {log.FILE, f"{log.FILE}.1", f"{log.FILE}.2"}


def test_the_real_bounds_are_those_of_the_document() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    assert log_file.ROTATE_AT == 2_000_000
    assert log_file.KEPT == 3
    assert "reached 2 MB, and three older files are kept" in text
