"""`watch` on a real terminal, and its one frame elsewhere; the progress line of `run-now`."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from tests.support_machine import (
    COUNT,
    FAIL,
    GATED,
    gated_pid,
    killed,
    prepare,
    release,
    shell,
    target_folder,
    wait_for_run,
)
from tests.support_terminal import on_terminal
from tests.workspace import PATIENCE, Workspace, ended, wait_for

pytestmark = pytest.mark.process

FAST = ("watch", "--interval", "0.2")
HIDDEN, SHOWN, SCREEN, BACK = "\x1b[?25l", "\x1b[?25h", "\x1b[?1049h", "\x1b[?1049l"
ERASED = "\r\x1b[2K"


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    """Two jobs; neither is due."""
    prepare(workspace, shell(COUNT), shell(GATED, job_id="gated"))
    return workspace


def _restored(text: str) -> bool:
    return text.rindex(SHOWN) > text.rindex(HIDDEN) and text.rindex(BACK) > text.rindex(SCREEN)


def _modified(workspace: Workspace) -> tuple[bytes, int]:
    return workspace.database.read_bytes(), workspace.database.stat().st_mtime_ns


# --- watch ---


def test_the_view_shows_a_run_as_it_begins_and_ends_and_ctrl_c_leaves_the_terminal_as_it_was(ready: Workspace) -> None:
    with on_terminal(ready, *FAST) as (terminal, process):
        terminal.wait_for("No job is running.")
        with ended(ready.start("run-now", "gated")) as run:
            row = wait_for_run(ready)
            with killed(gated_pid(ready, row["run_id"])):
                assert "1 of 1" in terminal.wait_for("ELAPSED")
                release(ready)
                run.communicate(timeout=PATIENCE)
        terminal.forget()
        terminal.wait_for("No job is running.")
        assert re.search(r"gated +\x1b\[32mok", terminal.text())
        terminal.type("\x03")
        assert process.wait(PATIENCE) == 0
        # The end of what was written is the terminal's old state.
        wait_for(lambda: terminal.text().endswith(BACK), what="the old screen")
        assert terminal.text().rindex(SHOWN) < terminal.text().rindex(BACK)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_view_in_order(ready: Workspace, number: signal.Signals, code: int) -> None:
    with on_terminal(ready, *FAST) as (terminal, process):
        terminal.wait_for("NEXT UP")
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
        wait_for(lambda: _restored(terminal.text()), what="the cursor")


def test_the_view_follows_the_size_of_its_window(ready: Workspace) -> None:
    with on_terminal(ready, *FAST) as (terminal, process):
        terminal.wait_for("NEXT UP")
        terminal.resize(43, 12)
        terminal.forget()
        home = "\x1b[H"

        def fits() -> bool:
            frames = terminal.text().split(home)[2:-1]
            plain = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frame) for frame in frames[-1:]]
            lines = [line for frame in plain for line in frame.split("\r\n")]
            return bool(lines) and all(len(line) == 43 for line in lines) and len(lines) <= 12

        wait_for(fits, what="frames of the new size")
        assert process.poll() is None


def test_the_view_starts_without_a_database_and_says_when_it_was_replaced(workspace: Workspace) -> None:
    workspace.add_target(invoke=None)
    workspace.write_jobs(shell(COUNT, job_id="first"))
    with on_terminal(workspace, *FAST) as (terminal, process):
        terminal.wait_for("DATABASE_MISSING")
        workspace.json("init-db")
        workspace.json("sync-jobs")
        terminal.wait_for("first")
        terminal.forget()
        terminal.wait_for("NEXT UP")
        assert "DATABASE_MISSING" not in terminal.text()
        assert "replaced" not in terminal.text()
        workspace.database.unlink()
        terminal.wait_for("DATABASE_MISSING")
        workspace.write_jobs(shell(COUNT, job_id="second"))
        workspace.json("init-db")
        workspace.json("sync-jobs")
        terminal.wait_for("second")
        terminal.wait_for("The database was replaced")
        assert process.poll() is None


def test_the_view_continues_while_the_database_is_locked_or_damaged(ready: Workspace) -> None:
    with on_terminal(ready, *FAST) as (terminal, process):
        terminal.wait_for("job-0")
        with closing(sqlite3.connect(ready.database, isolation_level=None)) as writer:
            # So a reader has to wait, which it else never has to.
            writer.execute("PRAGMA locking_mode = EXCLUSIVE")
            writer.execute("BEGIN EXCLUSIVE")
            writer.execute("UPDATE jobs SET prompt = 'x'")
            terminal.wait_for("DATABASE_LOCKED")
            # What was read before stays.
            terminal.forget()
            assert "job-0" in terminal.wait_for("The data below was read")
            writer.execute("ROLLBACK")
        good = ready.database.read_bytes()
        ready.database.write_bytes(b"no database" * 1000)
        terminal.wait_for("DATABASE_CORRUPT")
        ready.database.write_bytes(good)
        terminal.forget()

        def is_well() -> bool:
            frames = terminal.text().split("\x1b[H")
            return len(frames) > 2 and "job-0" in frames[-2] and "DATABASE" not in frames[-2]

        wait_for(is_well, what="the jobs again")
        assert process.poll() is None


def test_the_view_never_writes(ready: Workspace) -> None:
    before = _modified(ready)
    with on_terminal(ready, *FAST) as (terminal, process):
        for _ in range(5):
            terminal.forget()
            terminal.wait_for("NEXT UP")
        terminal.type("\x03")
        assert process.wait(PATIENCE) == 0
    assert _modified(ready) == before
    log = ready.database.with_name("cron.db-wal")
    assert not log.exists() or log.stat().st_size == 0


@pytest.mark.parametrize("nohup", [False, True])
def test_a_view_whose_terminal_is_gone_ends_as_one_that_was_hung_up(ready: Workspace, nohup: bool) -> None:
    """With `nohup` no signal comes: only what is written fails."""
    with on_terminal(ready, *FAST, nohup=nohup) as (terminal, process):
        terminal.wait_for("NEXT UP")
        terminal.vanish()
        assert process.wait(PATIENCE) == 129


@pytest.mark.parametrize("nohup", [False, True])
def test_a_run_whose_terminal_is_gone_answers_as_one_that_was_hung_up(ready: Workspace, nohup: bool) -> None:
    with on_terminal(ready, "run-now", "gated", nohup=nohup) as (terminal, process):
        terminal.wait_for("attempt 1 of 1")
        terminal.vanish()
        if nohup:
            release(ready)
        assert process.wait(PATIENCE) == 129
    assert [row["status"] for row in ready.runs("gated")] == ["ok" if nohup else "cancelled"]


def test_a_run_whose_answer_a_full_disk_refuses_is_no_hang_up(ready: Workspace) -> None:
    with open("/dev/full", "wb") as full, ended(ready.start("run-now", "job-0", stdout=full)) as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err[:18]) == (1, b"OUTPUT_UNWRITABLE:")


def test_without_a_terminal_it_prints_one_frame(ready: Workspace) -> None:
    ready.json("run-now", "job-0")
    told = ready.json("watch")
    assert " ".join(told) == "status now timezone scheduler running next recent_runs overdue_count events"
    assert [row["job_id"] for row in told["next"]] == ["gated", "job-0"]
    assert told["recent_runs"][0]["status"] == "ok"
    assert set(ready.json("watch", "--once")) == set(told)
    for words, env in ((("watch", "--text"), {}), (("watch",), {"PURUTO_CRON_FORMAT": "text"})):
        text = ready.run(*words, env=env).stdout.decode()
        assert "LAST RESULTS" in text
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("words", "env"),
    [(("--once",), {}), (("--json",), {}), ((), {"TERM": "dumb"})],
    ids=["once", "json", "dumb terminal"],
)
def test_on_a_terminal_one_frame_can_be_printed_too(
    ready: Workspace, words: tuple[str, ...], env: dict[str, str]
) -> None:
    with on_terminal(ready, "watch", *words, env=env) as (terminal, process):
        assert process.wait(PATIENCE) == 0
        told = terminal.wait_for("}\r\n}" if "--json" in words else "No runs.")
    assert "--json" not in words or json.loads(told)["status"] == "ok"
    assert "\x1b[2J" not in told


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon", "4000"])
def test_an_invalid_interval_is_refused(ready: Workspace, interval: str) -> None:
    assert ready.json("watch", "--interval", interval, code=2)["error"]["code"] == "USAGE"


def test_a_frame_without_a_database_is_an_error(workspace: Workspace) -> None:
    assert workspace.json("watch", code=2)["error"]["code"] == "DATABASE_MISSING"


def test_a_run_is_shown_against_its_usual_time(ready: Workspace) -> None:
    release(ready)
    done = [ready.json("run-now", "gated")["run_id"] for _ in range(3)]
    for run_id, took in zip(done, (1_000, 3_600_000, 7_200_000), strict=True):
        ready.sql("UPDATE runs SET duration_ms = ? WHERE run_id = ?", (took, run_id))
    (target_folder(ready) / "release").unlink()
    with ended(ready.start("run-now", "gated")):
        row = wait_for_run(ready, "gated")
        with killed(gated_pid(ready, row["run_id"])):
            (shown,) = ready.json("watch")["running"]
            release(ready)
    assert (shown["usual_ms"], shown["attempt"], shown["lease_over"]) == (3_600_000, 1, False)
    assert 0 <= shown["progress"] < 0.1


def test_secrets_in_errors_are_masked(ready: Workspace) -> None:
    ready.json("run-now", "job-0")
    error = {"code": "NONZERO_EXIT", "message": "the key hunter2hunter2 is wrong", "details": {}}
    ready.sql("UPDATE runs SET status = 'error', error_json = ?", (json.dumps(error),))
    env = {"API_TOKEN": "hunter2hunter2"}
    assert "hunter2" not in json.dumps(ready.json("watch", env=env))
    assert "hunter2" not in ready.run("watch", "--text", env=env).stdout.decode()


# --- the progress line of run-now ---


def _json_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text[text.index("{") :])
    return found


def test_a_run_by_hand_shows_its_progress_and_does_not_change_the_json(ready: Workspace) -> None:
    with on_terminal(ready, "run-now", "gated", "--json") as (terminal, process):
        text = terminal.wait_for("attempt 1 of 1")
        assert "gated" in text
        release(ready)
        assert process.wait(PATIENCE) == 0
        text = terminal.wait_for("\r\n}\r\n")
    lines, json_text = text[: text.index("{")], text[text.index("{") :]
    # Each line overwrites the one before it, and the last is erased.
    assert "\n" not in lines
    assert lines.startswith(ERASED)
    assert lines.endswith(ERASED)
    assert json.loads(json_text)["status"] == "ok"


def test_stdout_is_json_also_where_only_stderr_is_a_terminal(ready: Workspace) -> None:
    with on_terminal(ready, "run-now", "gated", stdout=PIPE) as (terminal, process):
        terminal.wait_for("attempt 1 of 1")
        release(ready)
        out, _ = process.communicate(timeout=PATIENCE)
        wait_for(lambda: terminal.text().endswith(ERASED), what="the erased line")
    assert json.loads(out)["status"] == "ok"
    assert out.count(b"\n") == 1


def test_the_wait_for_a_retry_is_counted_down(workspace: Workspace) -> None:
    prepare(workspace, shell(FAIL, max_retries=1, retry_backoff_sec=60))
    with on_terminal(workspace, "run-now", "job-0", "--json") as (terminal, process):
        terminal.wait_for("retry in 58 s")
        terminal.type("\x03")
        assert process.wait(PATIENCE) == 130
        text = terminal.wait_for("\r\n}\r\n")
    assert _json_of(text)["error"]["code"] == "CANCELLED"


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_can_not_overwrite_a_line_shows_no_progress(workspace: Workspace, env: dict[str, str]) -> None:
    prepare(workspace, shell("sleep 1.2; echo done"))
    with on_terminal(workspace, "run-now", "job-0", "--json", env=env) as (terminal, process):
        assert process.wait(PATIENCE) == 0
        text = terminal.wait_for("\r\n}\r\n")
    assert text.startswith("{")


def test_no_color_removes_the_colours_and_not_the_line(ready: Workspace) -> None:
    with on_terminal(ready, "run-now", "gated", env={"NO_COLOR": "1"}) as (terminal, process):
        text = terminal.wait_for("attempt 1 of 1")
        release(ready)
        assert process.wait(PATIENCE) == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)


def test_a_terminal_that_is_gone_does_not_fail_the_run(ready: Workspace) -> None:
    with on_terminal(ready, "run-now", "gated", nohup=True, stdout=PIPE) as (terminal, process):
        terminal.wait_for("attempt 1 of 1")
        terminal.vanish()
        run_id = wait_for_run(ready, "gated")["run_id"]
        # The thread that draws ends with the first line that can't be written.
        wait_for(lambda: len(os.listdir(f"/proc/{process.pid}/task")) == 1, what="the end of the line's thread")
        release(ready)
        out, _ = process.communicate(timeout=PATIENCE)
    assert (json.loads(out)["status"], json.loads(out)["run_id"], process.returncode) == ("ok", run_id, 0)


@pytest.mark.parametrize("closed", [False, True])
def test_without_a_terminal_stderr_stays_empty(ready: Workspace, tmp_path: Path, closed: bool) -> None:
    release(ready)
    if closed:
        with ended(ready.start("run-now", "gated", preexec_fn=lambda: os.close(2))) as process:
            out, _ = process.communicate(timeout=PATIENCE)
        assert json.loads(out)["status"] == "ok"
    else:
        assert ready.json("run-now", "gated")["status"] == "ok"


def test_a_missing_job_is_an_error_without_a_progress_line(ready: Workspace) -> None:
    with on_terminal(ready, "run-now", "nobody", "--json") as (terminal, process):
        assert process.wait(PATIENCE) == 1
        text = terminal.wait_for("\r\n}\r\n")
    assert text.startswith("{")
    assert _json_of(text)["error"]["code"] == "JOB_NOT_FOUND"
