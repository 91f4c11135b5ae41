"""The text of every command: it fits the screen, breaks no word, and has only signs that the screen can show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from commands import listing
from core.clock import utc_text
from core.errors import CronError
from render import views
from render.console import Report, ViewContext
from render.errors import error_text
from render.screen import Screen
from tests.support_machine import COUNT, FAIL, Machine, put_crontab_program, shell
from tests.workspace import FakeClock, Workspace

LONG = "a-job-with-a-name-that-is-longer-than-most"
#: What is run for the texts, in this order. `{ok}`, `{bad}` and `{folder}` are a run, another one and a folder.
COMMANDS = {
    "init-db": "init-db",
    "sync": "sync-jobs",
    "sync again": "sync-jobs --if-changed",
    "register": "register-job new --puruto-target puruto-target --schedule @daily --prompt hello --dry-run",
    "registered": "register-job new --puruto-target puruto-target --schedule @daily --prompt hello",
    "edit": "edit-job new --timeout-sec 30",
    "resume": "resume-job new",
    "pause": "pause-job new --until 2026-03-01T08:00",
    "rename": "rename-job new newer --dry-run",
    "renamed": "rename-job new another",
    "remove": "remove-job another --dry-run",
    "run ok": "run-now talks",
    "run bad": "run-now a-job-with-a-name-that-is-longer-than-most",
    "run quiet": "run-now quiet",
    "tick": "tick",
    "list": "list",
    "status": "status",
    "history": "history",
    "show ok": "show {ok}",
    "show bad": "show {bad}",
    "logs": "logs",
    "logs of a run": "logs --run {bad}",
    "next": "next",
    "next of a job": "next talks",
    "simulate": "simulate --from 2026-02-26 --to 2026-03-05",
    "dry-run": "dry-run talks",
    "timeline": "timeline",
    "watch": "watch --once",
    "doctor": "doctor",
    "sessions": "sessions",
    "sessions reset": "sessions reset talks",
    "unlock": "unlock talks",
    "prune": "prune --dry-run",
    "import": "import-crontab {folder}/crontab --dry-run",
    "crontab printed": "install-crontab --print",
    "crontab": "install-crontab",
    "no crontab": "uninstall-crontab",
    "units printed": "install-systemd --print --folder {folder}/units",
    "units": "install-systemd --daemon --folder {folder}/units",
}
CANCELLED = {
    "status": "ok", "job_id": "talks", "run_id": "talks-20260225T200000", "run_status": "cancelled",
    "ended_by": "cancel", "finished_at": "2026-02-25T20:00:05+00:00",
    "error": {"code": "CANCELLED", "message": "cancelled by somebody at a keyboard " * 3, "details": {}},
}  # fmt: skip
SESSION = {
    "job_id": "talks", "session_mode": "shared_persistent", "runner": "claude", "session_id": "0d9f-" * 7,
    "summary": "What was found last time, in so many words. " * 20, "run_id": "talks-20260225T200000",
    "updated_at": "2026-02-25T20:00:05+00:00",
}  # fmt: skip
#: Reports that no command of these gives.
OTHERS: dict[str, tuple[str, Report]] = {
    "cancel": ("cancel", CANCELLED),
    "kept sessions": ("sessions", {"status": "ok", "sessions": [SESSION, {**SESSION, "session_id": None}]}),
    "no view": ("", {"status": "ok", "count": 0, "nothing": None, "deep": [{"a": {"b": ["word " * 40]}}]}),
}
#: Pictures: their lines are cut at the edge.
PICTURES = ("timeline", "watch")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
#: What may be wider than the screen, so that it can be copied whole: commands, and lines with a path or a run's ID.
_PASTED = re.compile(r"python3 main\.py|systemctl|loginctl|\brm /|tick --quiet")
_WHOLE = re.compile(r"\S*(/\S*/|\d{8}T\d{6}|0d9f-0d9f)\S*")

Pair = tuple[Any, Report]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """The view and the report of each command, as it would print them as text."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("mis púrutos")
    workspace, clock = Workspace(folder), FakeClock()
    put_crontab_program(workspace)
    machine = Machine(workspace, clock)
    machine.ready(
        shell("seq -f 'line %g of a long report about what was found' 60", job_id="talks", schedule="*/5 * * * *",
              timezone="Europe/Madrid"),
        shell(f"{FAIL}; echo 日本語のエラー and a long complaint about a file that is not there >&2; exit 3",
              job_id=LONG, schedule="0 9 * * 1-5"),
        shell("true", job_id="quiet", schedule="@hourly"),
        shell(COUNT, job_id="off", enabled=False),
    )  # fmt: skip
    (folder / "crontab").write_text(
        "MAILTO=me\n30 2 * * * /opt/backup.sh --all && echo done%with stdin\n@reboot echo hi\n*/5 * * * * root x\n"
    )
    found: dict[str, Pair] = {}
    texts: list[Pair] = []
    real: Callable[[Any, Report, ViewContext], str] = views.text_of

    def spy(view: Any, report: Report, context: ViewContext) -> str:
        texts.append((view, report))
        return real(view, report, context)

    patch.setattr(views, "text_of", spy)
    for label, words in COMMANDS.items():
        clock.advance(minutes=1)
        places = {"ok": _last_run(workspace, "talks"), "bad": _last_run(workspace, LONG), "folder": folder}
        machine.printed(*(word.format(**places) for word in words.split()), "--text")
        assert len(texts) == 1, f"{label} was not printed in its view"
        found[label] = texts.pop()
    patch.undo()
    return {**found, **OTHERS}


def _last_run(workspace: Workspace, job_id: str) -> str:
    rows = workspace.runs(job_id) if workspace.database.exists() else []
    return str(rows[-1]["run_id"]) if rows else ""


def context(screen: Screen) -> ViewContext:
    return ViewContext(FakeClock().wall, "Europe/Madrid", screen)


def _words(text: str) -> set[str]:
    return set(_ESCAPES.sub("", text).split())


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("label", [*COMMANDS, *OTHERS])
def test_a_text_fits_the_screen_and_breaks_no_word(pairs: dict[str, Pair], label: str, width: int) -> None:
    view, report = pairs[label]
    plain = views.text_of(view, report, context(Screen(width, 24)))
    assert "\x1b" not in plain
    if view in ("crontab", "units"):
        return
    for line in plain.split("\n"):
        assert cell_len(line) <= width or _PASTED.search(line) or _WHOLE.search(line), line
        assert line == line.rstrip()
    if view not in PICTURES:
        wide = views.text_of(view, report, context(Screen(1_000, 1_000)))
        whole = " ".join(sorted(_words(f"{wide} more lines")))
        for word in _words(plain):
            assert word in whole or word.rstrip("…") in whole or word.isdecimal(), f"{word!r} was broken"
    coloured = views.text_of(view, report, context(Screen(width, 24, colour=True)))
    assert _ESCAPES.sub("", coloured).split() == plain.split(), "colours change nothing else"


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1"])
@pytest.mark.parametrize("label", [*COMMANDS, *OTHERS])
def test_a_text_has_only_signs_that_the_screen_knows(pairs: dict[str, Pair], label: str, encoding: str) -> None:
    view, report = pairs[label]
    text = views.text_of(view, report, context(Screen(80, 24, encoding=encoding)))
    text.encode(encoding)
    full = views.text_of(view, report, context(Screen(80, 24)))
    assert list(map(len, text.split("\n"))) == list(map(len, full.split("\n"))), "no column moves"


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "label", ["run ok", "run bad", "run quiet", "status", "sync", "registered", "crontab", "pause"]
)
def test_what_is_read_at_once_is_on_one_screen(pairs: dict[str, Pair], label: str, width: int) -> None:
    view, report = pairs[label]
    text = views.text_of(view, report, context(Screen(width, 24)))
    rows = sum(max(1, -(-cell_len(line) // width)) for line in text.split("\n"))
    assert rows <= 24, text


def test_every_view_is_looked_at(pairs: dict[str, Pair]) -> None:
    assert {view for view, _ in pairs.values()} - {""} == set(views.VIEWS)


def test_every_command_has_a_view_or_says_why_not() -> None:
    #: A line for each happening; a script for a shell.
    others = {"daemon", "completion"}
    assert set(listing.names()) - others <= set(views.VIEWS)


def test_a_crontab_and_units_are_printed_as_they_are(pairs: dict[str, Pair]) -> None:
    _, report = pairs["crontab printed"]
    text = views.text_of("crontab", report, context(Screen(60, 24)))
    assert text == report["crontab"].rstrip("\n")
    _, report = pairs["units printed"]
    text = views.text_of("units", report, context(Screen(60, 24)))
    assert all(unit.rstrip("\n") in text for unit in report["units"].values())
    below = text.split("\n\n# When they are written:\n")[1].split("\n")
    assert [line.removeprefix("#   ") for line in below if line.startswith("#   ")] == report["then"] + report["undo"]


@pytest.mark.parametrize("view", ["list", "status", "crontab"])
def test_a_warning_says_what_to_do(pairs: dict[str, Pair], view: str) -> None:
    _, report = pairs["crontab printed" if view == "crontab" else view]
    warned = {**report, "warnings": [{"code": "X", "message": "It was moved", "hint": "Run: python3 main.py doctor"}]}
    text = views.text_of(view, warned, context(Screen(120, 24)))
    assert "It was moved. Run: python3 main.py doctor" in text


def test_a_word_from_outside_moves_no_cursor(pairs: dict[str, Pair]) -> None:
    evil = "\x1b[2Jred\x07 \u202eabc\x9b31m"
    for label, (view, report) in pairs.items():
        text = json.dumps(report).replace(LONG, json.dumps(evil)[1:-1])
        shown = views.text_of(view, json.loads(text), context(Screen(80, 24)))
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown), label


# --- errors ---

FAULTS = {
    "code": "JOBS_FILE_INVALID",
    "message": "/mis púrutos/.jobs.json: 3 faults; the first: jobs[0].job_id (job a b) is wrong",
    "details": {
        "file": "/mis púrutos/.jobs.json",
        "problem_count": 3,
        "problems": [
            {"path": "jobs[0].job_id", "job_id": "a b", "message": "must be letters and digits, dots and dashes"},
            {"path": "jobs[0].schedule", "job_id": "a b", "message": "minute '61': is out of range",
             "hint": "use 0 to 59"},
            {"path": "jobs[1].timout_sec", "job_id": "ok", "message": "is not a field of a job",
             "hint": "did you mean timeout_sec?"},
        ],
    },
}  # fmt: skip


def test_all_faults_of_a_file_are_listed_by_job() -> None:
    assert error_text(FAULTS, Screen(60)).split("\n") == [
        "error: /mis púrutos/.jobs.json: 3 faults",
        "  jobs[0] a b",
        "    job_id must be letters and digits, dots and dashes",
        "    schedule minute '61': is out of range",
        "      fix: use 0 to 59",
        "  jobs[1] ok",
        "    timout_sec is not a field of a job",
        "      fix: did you mean timeout_sec?",
        "  code: JOBS_FILE_INVALID",
    ]


def test_an_error_says_what_where_and_what_to_do_and_what_caused_it() -> None:
    error = {
        "code": "JOB_NOT_FOUND",
        "message": "There is no job nightly",
        "details": {
            "job_id": "nightly",
            "hint": "See the names: python3 main.py list",
            "sync": {"status": "error", "error": FAULTS},
        },
    }
    lines = error_text(error, Screen(60)).split("\n")
    assert lines[:4] == [
        "error: There is no job nightly",
        "  code: JOB_NOT_FOUND",
        "  because of this error:",
        "    error: /mis púrutos/.jobs.json: 3 faults",
    ]
    assert lines[-1] == "  fix: See the names: python3 main.py list"
    assert error_text(error, Screen(60, colour=True)).startswith("\x1b[1;31merror:\x1b[0m There")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_an_error_is_wrapped_between_words(width: int) -> None:
    error = {"code": "X", "message": "a word 日本語 " * 30, "details": {"hint": "look here " * 20, "path": "/x" * 60}}
    for line in error_text(error, Screen(width)).split("\n"):
        assert cell_len(line) <= width or "/x/x" in line


def test_refused_lines_of_a_crontab_are_listed() -> None:
    lines = [{"line": n, "text": "@reboot x", "reason": "has no time", "hint": "leave it"} for n in range(40)]
    error = {"code": "NOTHING_IMPORTED", "message": "No line could be imported", "details": {"not_imported": lines}}
    text = error_text(error, Screen(80))
    assert "  line 0: has no time\n    fix: leave it\n  line 1:" in text
    assert "… 10 more; --json lists them all" in text


def test_the_clock_of_a_view_is_handed_to_it(pairs: dict[str, Pair]) -> None:
    view, report = pairs["status"]
    clock = FakeClock()
    clock.advance(days=400)
    text = views.text_of(view, report, ViewContext(clock.wall, "UTC", Screen(80, 24)))
    assert "400 d ago" in text or "399 d ago" in text
    assert utc_text(clock.wall) not in text


def test_the_folder_of_the_texts_has_a_blank(pairs: dict[str, Pair], tmp_path: Path) -> None:
    """So that what is to be pasted was quoted."""
    _, report = pairs["units"]
    assert any("'" in command for command in report["undo"])


def test_the_next_step_is_one_that_leads_on(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)

    def told(command: str) -> str:
        (line,) = [line for line in machine.printed(command, "--text")[1].splitlines() if line.startswith("Next: ")]
        return line.removeprefix("Next: python3 main.py ")

    assert told("init-db") == "register-job --help"
    assert told("status") == "register-job --help"
    workspace.write_jobs(shell(COUNT))
    assert told("init-db") == told("status") == "sync-jobs"
    (workspace.root / ".jobs.json").write_text("{broken")
    assert told("init-db") == "sync-jobs"
    workspace.write_jobs(shell(COUNT))
    machine.run("sync-jobs")
    assert told("init-db") == "status"


def test_a_file_that_can_not_be_loaded_is_told_with_what_to_do(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready(shell(COUNT))
    workspace.write_jobs({**shell(COUNT), "timout_sec": 5})
    for words in (("run-now", "job-0"), ("tick",), ("status",)):
        text = " ".join(machine.printed(*words, "--text")[1].split())
        assert "fix: did you mean timeout_sec?" in text, words
    workspace.write_jobs(shell(COUNT))
    machine.run("sync-jobs")
    (workspace.root / ".jobs.json").unlink()
    assert "does not exist; the jobs go on as they were loaded" in " ".join(
        machine.printed("status", "--text")[1].split()
    )


def test_standard_input_is_called_so_and_no_hint_names_a_key_of_json(workspace: Workspace, clock: FakeClock) -> None:
    machine = Machine(workspace, clock)
    machine.ready()
    assert "No enabled job has a next instant." in machine.printed("next", "--text")[1]
    (workspace.root / "crontab").write_text("@reboot x\n")
    with pytest.raises(CronError) as caught:
        machine.run("import-crontab", str(workspace.root / "crontab"))
    assert "details." not in caught.value.hint
    report: Any = {
        "source": "-",
        "dry_run": True,
        "imported": [],
        "already_there": [],
        "not_imported": [],
        "variables": [],
    }
    assert "of standard input would become" in views.text_of("import-crontab", report, context(Screen(80)))
