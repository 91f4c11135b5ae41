"""Text on a terminal, JSON elsewhere: what decides it, on real terminals and in pipes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

import pytest
from rich.cells import cell_len

from tests.support_machine import COUNT, FAIL, prepare, shell
from tests.support_terminal import on_terminal
from tests.workspace import PATIENCE, Workspace, wait_for

pytestmark = pytest.mark.process

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
#: What may be wider than the screen: paths, IDs of runs, and commands that can be pasted.
_WHOLE = re.compile(r"\S*/\S*/|\d{8}T\d{6}|python3 main\.py")


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    """A job that works, and one that fails with wide characters."""
    prepare(
        workspace,
        shell(f"{COUNT}; seq -f 'line %g of what was found, as the job tells it' 60", job_id="good", schedule="@daily"),
        shell(f"{FAIL}; echo 日本語のエラー >&2; exit 3", job_id="bad"),
    )
    return workspace


def on_screen(workspace: Workspace, *words: str, columns: int = 80, code: int = 0, **env: str) -> str:
    """What a command leaves on a terminal, with control sequences."""
    with on_terminal(workspace, *words, env=env, columns=columns) as (terminal, process):
        assert process.wait(timeout=PATIENCE) == code
        wait_for(lambda: terminal.text().endswith("\n"), what="the last line on the terminal")
        return terminal.text()


@pytest.mark.parametrize(
    ("columns", "env", "coloured", "is_utf8"),
    [
        (60, {}, True, True),
        (80, {"NO_COLOR": "1"}, False, True),
        (120, {"TERM": "dumb"}, False, True),
        (60, {"LC_ALL": "C", "LANG": "C"}, True, False),
        (80, {"LC_ALL": "en_US.ISO-8859-1", "NO_COLOR": "1"}, False, False),
    ],
    ids=["60", "80 no colour", "120 dumb", "60 ascii", "80 latin-1"],
)
def test_a_real_terminal_gets_text_that_fits_it(
    ready: Workspace, columns: int, env: Mapping[str, str], coloured: bool, is_utf8: bool
) -> None:
    commands = (("run-now", "good"), ("run-now", "bad"), ("status",), ("list",), ("history",), ("lst",))
    codes = (0, 1, 0, 0, 0, 2)
    for words, code in zip(commands, codes, strict=True):
        text = on_screen(ready, *words, columns=columns, code=code, **env)
        # A slow run draws a progress line, which is erased; what follows it counts.
        printed = text.rpartition("\r\x1b[2K")[2]
        assert ("\x1b[" in printed) is coloured, words
        lines = _CONTROLS.sub("", printed).split("\n")
        assert not lines[0].startswith("{")
        for line in lines:
            assert cell_len(line) <= columns or _WHOLE.search(line), (words, line)
        assert "Traceback" not in text
        assert text.isascii() or is_utf8, words
        if words[0] in ("run-now", "status"):
            assert sum(max(1, -(-cell_len(line) // columns)) for line in lines[:-1]) <= 24, text


def test_the_option_outranks_the_setting_which_outranks_the_terminal(ready: Workspace) -> None:
    text, other = b"puruto-cron", b'{"status": "ok"'
    env = ready.root / ".env"
    assert ready.run("status").stdout.startswith(other)
    assert ready.run("status", "--text").stdout.startswith(text)
    assert ready.run("--text", "status").stdout.startswith(text)
    assert ready.run("--text", "status", "--json").stdout.startswith(other)
    assert ready.run("status", env={"PURUTO_CRON_FORMAT": "text"}).stdout.startswith(text)
    assert ready.run("status", "--json", env={"PURUTO_CRON_FORMAT": "text"}).stdout.startswith(other)
    env.write_text("PURUTO_CRON_FORMAT=text\n")
    assert ready.run("status").stdout.startswith(text)
    assert ready.run("status", env={"PURUTO_CRON_FORMAT": "json"}).stdout.startswith(other)
    assert ready.run("status", env={"PURUTO_CRON_FORMAT": "auto"}).stdout.startswith(other)
    env.unlink()
    on_tty = json.loads(on_screen(ready, "status", "--json"))
    assert (on_tty["status"], len(on_tty["jobs"])) == ("ok", 2)
    assert json.loads(on_screen(ready, "status", PURUTO_CRON_FORMAT="json"))["status"] == "ok"


def test_errors_follow_the_same_rule_also_of_a_wrong_command_line_and_of_wrong_settings(ready: Workspace) -> None:
    for words, code in ((("show", "nobody"), 1), (("lst",), 2), (("list", "--bogus"), 2)):
        assert "error" in ready.json(*words, code=code)
        assert ready.run(*words, "--text").stdout.startswith(b"error: ")
        assert ready.run(*words, "--json", env={"PURUTO_CRON_FORMAT": "text"}).stdout.startswith(b"{")
        assert "error:" in on_screen(ready, *words, code=code).split("\n")[0]
        assert json.loads(on_screen(ready, *words, "--json", code=code))["status"] == "error"
    (ready.root / ".env").write_text("PURUTO_CRON_FORMAT=text\nPURUTO_CRON_MAX_RUNNING=many\n")
    assert ready.run("list").stdout.startswith(b"error: PURUTO_CRON_MAX_RUNNING")
    assert ready.json("list", "--json", code=2)["error"]["code"] == "SETTINGS_INVALID"
    (ready.root / ".env").write_text("PURUTO_CRON_FORMAT=xml\n")
    assert ready.json("list", code=2)["error"]["details"]["problems"][0]["code"] == "UNKNOWN_FORMAT"
    assert "error:" in on_screen(ready, "list", code=2)


def test_a_word_of_a_job_that_looks_like_the_option_is_none(ready: Workspace) -> None:
    words = ("register-job", "new", "--puruto-target", "puruto-target", "--schedule", "@daily", "--prompt", "--text")
    assert ready.json(*words, "--dry-run")["entry"]["prompt"] == "--text"


def test_status_of_one_job_fits_a_screen_of_24_lines(ready: Workspace) -> None:
    for _ in range(8):
        ready.json("run-now", "good")
    text = on_screen(ready, "status", NO_COLOR="1")
    assert text.count("good-2") == 6
    assert len(text.splitlines()) <= 24
    assert on_screen(ready, "status", "--limit", "7", NO_COLOR="1").count("good-2") == 7
    assert len(ready.json("status")["recent_runs"]) == 8


def test_an_idle_tick_is_text_for_people_and_json_for_programs(ready: Workspace) -> None:
    ready.json("tick")
    assert ready.json("tick")["due_jobs"] == []
    assert "Nothing was due." in on_screen(ready, "tick")
    assert ready.run("tick", "--text").stdout == b"Nothing was due.\n"
    assert ready.run("tick", env={"PURUTO_CRON_FORMAT": "text"}).stdout == b"Nothing was due.\n"
    assert ready.json("tick", env={"PURUTO_CRON_FORMAT": "json"})["status"] == "ok"
    assert json.loads(on_screen(ready, "tick", "--json"))["status"] == "ok"
    (ready.root / ".env").write_text("PURUTO_CRON_FORMAT=text\n")
    ready.run("tick")
    assert ready.run("tick").stdout == b"Nothing was due.\n"


def test_a_daemon_on_a_terminal_tells_each_run_in_a_line(ready: Workspace) -> None:
    env = {"PURUTO_CRON_POLL_SECONDS": "1"}
    with on_terminal(ready, "daemon", columns=70, env=env) as (terminal, process):
        terminal.wait_for("ready: pid")
        ready.make_due("bad")
        text = terminal.wait_for("[NONZERO_EXIT]")
        terminal.type("\x03")
        assert process.wait(PATIENCE) == 0
    assert re.search(r"\d\d:\d\d  bad error: /bin/sh ended with exit code 3", text)
    assert "{" not in text
    assert all(cell_len(line) <= 70 or "/" in line for line in _CONTROLS.sub("", text).split("\n"))


def test_the_daemon_syncs_an_edited_file_also_where_text_is_the_setting(ready: Workspace) -> None:
    env = {"PURUTO_CRON_FORMAT": "text", "PURUTO_CRON_POLL_SECONDS": "1"}
    with on_terminal(ready, "daemon", env=env) as (terminal, process):
        terminal.wait_for("ready: pid")
        ready.replace_jobs(shell(COUNT, job_id="good"), shell(COUNT, job_id="bad"), shell(COUNT, job_id="third"))
        terminal.wait_for(".jobs.json was loaded: added")
        terminal.type("\x03")
        assert process.wait(PATIENCE) == 0


def test_doctor_prints_text_in_a_pipe_too_unless_json_is_chosen(ready: Workspace) -> None:
    assert b"errors: " in ready.run("doctor").stdout
    assert json.loads(ready.run("doctor", "--json").stdout)["counts"]
    assert json.loads(ready.run("doctor", env={"PURUTO_CRON_FORMAT": "json"}).stdout)["counts"]


def test_a_script_for_a_shell_has_no_other_form(ready: Workspace) -> None:
    assert (
        on_screen(ready, "completion", "bash").replace("\r\n", "\n") == ready.run("completion", "bash").stdout.decode()
    )
    assert ready.json("completion", "bash", "--json", code=2)["error"]["code"] == "USAGE"


def test_columns_sets_the_width(ready: Workspace) -> None:
    ready.run("run-now", "bad")
    wide = ready.run("history", "--text").stdout.decode()
    narrow = ready.run("history", "--text", env={"COLUMNS": "60"}).stdout.decode()
    assert len(narrow.splitlines()) > len(wide.splitlines())
    assert max(map(cell_len, narrow.splitlines())) <= 60


def test_colours_can_be_forced_into_a_pipe(ready: Workspace) -> None:
    forced = ready.run("list", "--text", env={"FORCE_COLOR": "1"}).stdout
    assert b"\x1b[1m" in forced
    assert b"\x1b" not in ready.run("list", env={"FORCE_COLOR": "1"}).stdout, "JSON has no colours"


def test_a_reader_that_goes_away_is_no_error(ready: Workspace) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        with ready.start("list", "--text", stdout=write) as process:
            _, err = process.communicate(timeout=PATIENCE)
    finally:
        os.close(write)
    assert (process.returncode, err) == (0, b"")
