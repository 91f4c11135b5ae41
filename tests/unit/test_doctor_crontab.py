"""Crontabs as people write them, what is found in them, and the examination in cron's environment."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app import installation
from core.clock import utc_text
from doctor import as_cron, condition, starter
from doctor.findings import Finding, error, fine, warning
from doctor.programs import Answer
from doctor.scene import Scene
from install import units
from install.crontab_machine import cron_environment, cron_processes
from install.crontab_starts import Start, read
from reports.health import TickLine, silence_warning
from tests.fakes import NOON

CRON = {"HOME": "/home/me", "LOGNAME": "me", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
ROOT = "/home/me/purutos/puruto-cron"
MAIN = f"{ROOT}/main.py"
#: An interpreter that is there on every machine that runs this.
PYTHON = "/bin/sh"
#: A program that is there, of another copy.
ELSEWHERE = shlex.quote(str(Path(__file__).resolve().parents[2] / "main.py"))
GOOD = f"* * * * * {PYTHON} {MAIN} tick --quiet >> {ROOT}/db/tick.log 2>&1"


def one(text: str, *, system: bool = False) -> Start:
    (line,) = read(text, "here", CRON, system=system)
    return line


@pytest.mark.parametrize(
    ("command", "interpreter", "program", "word"),
    [
        (f"/v/bin/python {MAIN} tick --quiet >> /x/tick.log 2>&1", "/v/bin/python", MAIN, "tick"),
        (f"cd {ROOT} && .venv/bin/python main.py tick", f"{ROOT}/.venv/bin/python", MAIN, "tick"),
        ("cd purutos/puruto-cron; python3 ./main.py tick", "python3", f"{ROOT}/./main.py", "tick"),
        ("cd && python3 purutos/puruto-cron/main.py tick", "python3", MAIN, "tick"),
        (f"/v/bin/python -I -u {MAIN} tick", "/v/bin/python", MAIN, "tick"),
        (f"TZ=UTC nice -n 5 flock -n /tmp/lock /v/bin/python {MAIN} tick", "/v/bin/python", MAIN, "tick"),
        (f"'/v/bin/python' \"{MAIN}\" 'tick'", "/v/bin/python", MAIN, "tick"),
        ("/v/bin/python $HOME/purutos/puruto-cron/main.py tick>>/x 2>&1", "/v/bin/python", MAIN, "tick"),
        ("~/v/bin/python ~/purutos/puruto-cron/main.py tick", "/home/me/v/bin/python", MAIN, "tick"),
        (f"{MAIN} tick", "", MAIN, "tick"),
        (f"A=1 {MAIN} tick", "", MAIN, "tick"),
        (f"/v/bin/python {MAIN} status", "/v/bin/python", MAIN, "status"),
        (f"{ROOT}/.venv/bin/puruto-cron tick", "", f"{ROOT}/.venv/bin/puruto-cron", "tick"),
        (f"(/v/bin/python {MAIN} tick) | logger", "/v/bin/python", MAIN, "tick"),
        (f"/v/bin/python {MAIN} tick % input of it", "/v/bin/python", MAIN, "tick"),
    ],
)
def test_a_command_is_read_as_the_shell_would(command: str, interpreter: str, program: str, word: str) -> None:
    line = one(f"* * * * * {command}")
    assert (line.interpreter, line.program, line.words[0]) == (interpreter, program, word)
    assert line.ticks == (word == "tick")


@pytest.mark.parametrize(
    ("quoted", "folder"),
    [
        ("'/p/$HOME a/main.py'", "/p/$HOME a"),
        ('"$HOME/a b/main.py"', "/home/me/a b"),
        (r"/p/\$HOME/main.py", "/p/$HOME"),
        (r'"/p/\$HOME/main.py"', "/p/$HOME"),
        ("""'/p/o'"'"'brien $HOME/main.py'""", "/p/o'brien $HOME"),
        ("\"/p/it's $HOME\"'/$x'/main.py", "/p/it's /home/me/$x"),
    ],
)
def test_only_what_a_shell_expands_is_expanded(quoted: str, folder: str) -> None:
    assert one(f"* * * * * {PYTHON} {quoted} tick").program == f"{folder}/main.py"


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"# * * * * * /v/bin/python {MAIN} tick",
        "* * * * * /usr/bin/backup",
        f"* * * * * /v/bin/python '{MAIN} tick",
        f"* * * * {MAIN}",
        "PROGRAM=/x/main.py",
        "* * * * * /usr/bin/test -f /x/main.py.old",
    ],
)
def test_lines_that_start_other_programs_are_left_out(text: str) -> None:
    assert read(text, "here", CRON, system=False) == []


@pytest.mark.parametrize(
    ("when", "each"),
    [("* * * * *", True), ("*/1 * * * *", True), ("*/5 * * * *", False), ("@hourly", False), ("* 9-17 * * *", False)],
)
def test_when_a_line_runs(when: str, each: bool) -> None:
    line = one(f"  {when}   {PYTHON} {MAIN} tick")
    assert (line.when, line.each_minute) == (when, each)


def test_a_system_crontab_names_a_user_before_the_command() -> None:
    line = one(f"*\t*\t*\t*\t*\troot\t{PYTHON} {MAIN} tick", system=True)
    assert (line.interpreter, line.words) == (PYTHON, ("tick",))
    assert one(f"@reboot me {MAIN} tick", system=True).when == "@reboot"


def test_variables_apply_to_the_lines_below_them_only() -> None:
    text = f'PATH = /opt/bin:/bin\nNAME="two words"\n* * * * * python3 {MAIN} tick\nPATH=/later'
    line = one(text)
    assert line.environ == {**CRON, "PATH": "/opt/bin:/bin", "NAME": "two words"}


def test_a_percent_sign_that_is_escaped_belongs_to_the_command() -> None:
    assert one(rf"* * * * * python3 {MAIN} tick >> /x/$(date +\%F).log").words[0] == "tick"


# --- what starts the ticks ---


def set_scene(crontab: str | Answer, *, stale: bool = False, daemon: bool = False) -> Scene:
    """A scene with this crontab of the user's, and none of the system's."""
    answer = Answer(0, crontab) if isinstance(crontab, str) else crontab
    app: Any = SimpleNamespace(
        root=ROOT,
        environ={},
        clock=SimpleNamespace(now=lambda: NOON),
        tick_state=lambda now: {"stale": stale},
        daemon_state=lambda: {"running": daemon, "pid": 7, "host": "here", "since": "2026-02-25T11:00:00+00:00"},
    )
    settings: Any = SimpleNamespace(db_path=Path(ROOT) / "db" / "cron.db")
    return Scene(app, settings, ask=lambda *_: answer, etc="/nonexistent")


@pytest.fixture(autouse=True)
def folders_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is on a disk."""
    monkeypatch.setattr(starter, "_is_folder", lambda _: True)


def problems(scene: Scene) -> list[tuple[str, str]]:
    found = [(finding.code, finding.severity) for finding in starter.check(scene)]
    return [entry for entry in found if entry[1] != "ok"]


def test_a_good_line_is_fine() -> None:
    (found,) = starter.check(set_scene(f'MAILTO=""\n\n{GOOD}\n'))
    assert (found.severity, found.subject) == ("ok", "crontab")


NO_CRONTAB = Answer(1, "", "no crontab for me\n")


@pytest.mark.parametrize("crontab", [NO_CRONTAB, Answer(None, reason="crontab was not found"), ""])
def test_a_daemon_needs_no_line(crontab: str | Answer) -> None:
    (found,) = starter.check(set_scene(crontab, stale=True, daemon=True))
    assert (found.severity, "process 7 on here" in found.message) == ("ok", True)
    assert problems(set_scene(GOOD, daemon=True)) == [], "both do no harm"


@pytest.mark.parametrize(
    "crontab",
    [
        "",
        NO_CRONTAB,
        Answer(None, reason="crontab was not found"),
        Answer(1, "", "you are not allowed to use this program"),
        f"* * * * * {PYTHON} {MAIN} status",
        f"* * * * * {PYTHON} {ELSEWHERE} tick",
    ],
)
def test_without_a_line_nothing_starts_it_unless_a_tick_was_seen_lately(crontab: str | Answer) -> None:
    assert problems(set_scene(crontab, stale=True)) == [("NO_CRON_LINE", "error")]
    assert problems(set_scene(crontab)) == [("NO_CRON_LINE", "warning")]
    (found,) = starter.check(set_scene(crontab))
    assert "python3 main.py install-crontab --print" in found.fix


@pytest.mark.parametrize(
    ("crontab", "told"),
    [
        (Answer(None, reason="crontab was not found"), "crontab was not found"),
        (Answer(1, "", "you are not allowed"), "you are not allowed"),
        (f"* * * * * {PYTHON} {MAIN} status", "other arguments: status"),
        (f"* * * * * {PYTHON} {ELSEWHERE} tick", "another copy: "),
    ],
)
def test_without_a_line_the_finding_names_what_was_found_instead(crontab: str | Answer, told: str) -> None:
    (found,) = starter.check(set_scene(crontab, stale=True))
    assert told in found.message


def test_a_missing_interpreter_is_an_error() -> None:
    assert problems(set_scene(GOOD.replace(PYTHON, "/nonexistent/python"))) == [("CRON_INTERPRETER_MISSING", "error")]
    assert problems(set_scene(GOOD.replace(PYTHON, "no-such-python"))) == [("CRON_INTERPRETER_MISSING", "error")]
    assert problems(set_scene(GOOD.replace(PYTHON, "sh"))) == [], "found in cron's PATH"
    assert problems(set_scene("PATH=/nonexistent\n" + GOOD.replace(PYTHON, "sh"))) == [
        ("CRON_INTERPRETER_MISSING", "error")
    ]


def test_a_line_that_does_not_run_each_minute_is_a_warning() -> None:
    assert problems(set_scene(GOOD.replace("* * * * *", "*/5 * * * *"))) == [("CRON_NOT_EACH_MINUTE", "warning")]


def test_a_second_line_is_a_warning() -> None:
    assert problems(set_scene(f"{GOOD}\n{GOOD}")) == [("CRON_TWICE", "warning")]


# --- what was left behind, and a cron that does not run ---


def identified(scene: Scene, monkeypatch: pytest.MonkeyPatch, database: str, at: datetime | None = None) -> Scene:
    """The scene with a database of this ID, whose crontab got its line at `at`."""
    known = installation.Installation(database, at)
    monkeypatch.setattr(installation, "known", lambda app: known if app is scene.app else None)
    return scene


def block(database: str, root: str = "/nonexistent/puruto-cron") -> str:
    return units.block(units.Copy(root, PYTHON, "/l", database=database))


@pytest.mark.parametrize(("database", "told"), [("abc", "--replace"), ("xyz", "crontab -e"), ("", "crontab -e")])
def test_a_block_whose_folder_is_gone_is_found(monkeypatch: pytest.MonkeyPatch, database: str, told: str) -> None:
    scene = identified(set_scene(f"{block(database)}{GOOD}\n"), monkeypatch, "abc")
    gone, well = starter.check(scene)
    assert (gone.code, gone.severity, well.severity) == ("CRON_BLOCK_GONE", "warning", "ok")
    assert told in gone.fix
    assert "/nonexistent/puruto-cron" in gone.message


def test_a_line_of_a_program_that_is_gone_is_found() -> None:
    gone, _ = starter.check(set_scene(f"* * * * * {PYTHON} /nonexistent/main.py tick\n{GOOD}\n"))
    assert (gone.code, "crontab -e" in gone.fix) == ("CRON_BLOCK_GONE", True)


@pytest.mark.parametrize("message", ["crontab: can't open 'me': No such file or directory", "user me has no fcrontab."])
def test_no_crontab_is_no_trouble_whatever_the_program(message: str) -> None:
    (found,) = starter.check(set_scene(Answer(1, "", message), stale=True))
    assert message not in found.message
    assert "install-crontab" in found.fix


def test_the_fix_of_a_crontab_that_fails_is_not_the_command_that_fails() -> None:
    for answer in (Answer(None, reason="crontab was not found"), Answer(1, "", "you are not allowed")):
        (found,) = starter.check(set_scene(answer, stale=True))
        assert "install-crontab" not in found.fix.replace("install-crontab --print", "")
        assert "install-systemd" in found.fix


STALE = {"stale": True, "last_tick_at": None, "last_tick_age_sec": None, "stale_after_sec": 300}


@pytest.mark.parametrize(
    ("processes", "told"), [([], "systemctl start cron"), ([77], "Process 77"), (None, "tick.log")]
)
def test_a_line_without_ticks_asks_whether_cron_is_running(
    monkeypatch: pytest.MonkeyPatch, processes: list[int] | None, told: str
) -> None:
    monkeypatch.setattr(starter, "cron_processes", lambda: processes)
    (found,) = condition.last_tick(STALE, {"running": False}, None, NOON, TickLine("the crontab of this user"))
    assert (found.code, found.severity) == ("NO_TICK", "error")
    assert "Is cron running?" in found.message
    assert told in found.fix
    (without,) = condition.last_tick(STALE, {"running": False}, None, NOON, None)
    assert "Is cron running?" not in without.message


@pytest.mark.parametrize(
    ("ago", "last", "fine"),
    [(5, None, True), (119, None, True), (125, None, False), (-5, None, False), (5, 3600, True), (60, 30, False)],
)
def test_right_after_the_line_was_put_in_the_first_tick_is_waited_for(ago: int, last: int | None, fine: bool) -> None:
    line = TickLine("here", NOON - timedelta(seconds=ago))
    ticks = {**STALE, "last_tick_at": utc_text(NOON - timedelta(seconds=last)) if last else None}
    (found,) = condition.last_tick(ticks, {"running": False}, None, NOON, line)
    assert (found.severity == "ok") is fine
    (warned,) = silence_warning(ticks, {"running": False}, None, NOON, line)
    assert ("first tick comes within a minute" in warned["message"]) is fine
    assert ("is cron running?" in warned["message"]) is not fine
    assert "install-crontab" not in warned["message"]
    (without,) = silence_warning(ticks, {"running": False}, None, NOON)
    assert "install-crontab" in without["message"]


def test_the_line_and_the_time_of_its_installation_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = identified(set_scene(GOOD, stale=True), monkeypatch, "abc", NOON)
    assert starter.tick_line(scene) == TickLine("the crontab of this user", NOON)
    assert starter.tick_line(set_scene("", stale=True)) is None


def test_processes_of_cron_are_found_by_their_names(tmp_path: Path) -> None:
    for pid, name in ((7, "crond"), (12, "python3"), (3, "cron")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
    (tmp_path / "99").mkdir()
    assert cron_processes(str(tmp_path)) == [3, 7]
    assert cron_processes(str(tmp_path / "missing")) is None


# --- as cron ---


def report(*findings: Finding, **paths: str) -> Answer:
    return Answer(0, json.dumps({"findings": [finding.as_dict() for finding in findings], "paths": paths}))


class Cron:
    """Answers `crontab -l` and then, as the program under cron, `answer`; keeps what it was asked."""

    def __init__(self, answer: Answer, crontab: str = "") -> None:
        self.answer = answer
        self.crontab = crontab
        self.asked: tuple[Sequence[str], Mapping[str, str], str] | None = None

    def __call__(self, argv: Sequence[str], environ: Mapping[str, str], folder: str, seconds: float) -> Answer:
        if argv[0] == "crontab":
            return Answer(0, self.crontab)
        self.asked = (argv, environ, folder)
        return self.answer


def under_cron(cron: Cron, here: Sequence[Finding] = (), **paths: str) -> list[Finding]:
    scene = set_scene("")
    scene.ask = cron
    return as_cron.under_cron(scene, here, paths)


def test_findings_that_appear_only_under_cron_are_marked() -> None:
    known, new = error("DENIED", "job a", "here too", ""), error("IPC_ERROR", "job b", "not in PATH", "install it")
    (found,) = under_cron(Cron(report(known, fine("clock", "noon"), new)), [known])
    assert (found.code, found.only_under_cron, found.fix) == ("IPC_ERROR", True, "install it")
    assert found.as_dict()["only_under_cron"] is True
    (well,) = under_cron(Cron(report(known)), [known])
    assert (well.severity, well.only_under_cron) == ("ok", False)


def test_an_agent_that_only_this_shell_finds_is_named_with_its_folder(tmp_path: Path) -> None:
    program = tmp_path / "a b" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    scene, environ = set_scene(""), {"PATH": str(program.parent)}
    scene.app.environ = environ
    text = "job a: it has CLAUDE.md, but no program claude was found"
    scene.ask = Cron(report(error("RUNNER_NOT_FOUND", "job a", text, "npm install -g it")))
    (found,) = as_cron.under_cron(scene, [], {})
    assert found.fix == f"Put this into .env: PURUTO_CRON_AGENT_PATH='{program.parent}'"
    environ["PATH"] = "/nonexistent"
    (found,) = as_cron.under_cron(scene, [], {})
    assert found.fix == "npm install -g it"


def test_it_runs_in_exactly_crons_environment() -> None:
    cron = Cron(report())
    under_cron(cron)
    assert cron.asked is not None
    argv, environ, folder = cron.asked
    assert list(argv[1:]) == [MAIN, "doctor", "--json"]
    assert dict(environ) == cron_environment()
    assert set(environ) == {"HOME", "LOGNAME", "SHELL", "PATH"}
    assert (environ["SHELL"], environ["PATH"], folder) == ("/bin/sh", "/usr/bin:/bin", environ["HOME"])


def test_the_line_of_the_crontab_says_which_interpreter_and_what_is_set() -> None:
    cron = Cron(report(), f"PATH=/opt/bin\n{GOOD}")
    under_cron(cron)
    assert cron.asked is not None
    assert (cron.asked[0][0], cron.asked[1]["PATH"]) == (PYTHON, "/opt/bin")


def test_another_database_under_cron_is_an_error() -> None:
    (found,) = under_cron(
        Cron(report(database="/b", root="/r", interpreter="/y")), database="/a", root="/r", interpreter="/x"
    )
    assert (found.code, found.severity, found.only_under_cron) == ("OTHER_PATHS_UNDER_CRON", "error", True)
    assert all(path in found.message for path in ("/a", "/b"))


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (Answer(None, reason="/x/python was not found"), "AS_CRON_FAILED", "not found"),
        (Answer(1, "", "Segmentation fault"), "AS_CRON_FAILED", "Segmentation"),
        (Answer(1, "[]"), "AS_CRON_FAILED", "exit code 1"),
        (Answer(0, '{"findings": [{"code": "X"}], "paths": {}}'), "AS_CRON_FAILED", "exit code 0"),
        (
            Answer(
                2, '{"status": "error", "error": {"code": "DEPENDENCY_MISSING", "message": "no click", "details": {}}}'
            ),
            "DEPENDENCY_MISSING",
            "no click",
        ),
    ],
)
def test_a_doctor_that_can_not_run_under_cron_is_an_error(answer: Answer, code: str, told: str) -> None:
    (found,) = under_cron(Cron(answer), [warning("X", "y", "z", "")])
    assert (found.code, found.severity, found.only_under_cron) == (code, "error", True)
    assert told in found.message
