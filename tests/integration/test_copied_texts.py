"""What people copy from a text is whole: paths in a folder with a blank, commands, variables and schedules."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from commands.view import print_error
from core.errors import CronError
from render.console import ViewContext
from render.errors import error_text
from render.paragraphs import pieces
from render.parts import note
from render.screen import Screen
from render.views import text_of
from render.whole import JOINT, joined, pasted
from tests.support_machine import COUNT, FAIL, TARGET, Machine, shell
from tests.support_pictures import NOW
from tests.workspace import FakeClock, Workspace

WIDTHS = ["60", "80", "100"]


@pytest.fixture
def machine(tmp_path: Path, clock: FakeClock) -> Machine:
    """A copy in a folder whose name a shell would split, below a folder with a long name."""
    workspace = Workspace(tmp_path / ("a-folder-with-a-long-name-" * 2) / "mis púrutos de hoy")
    found = Machine(workspace, clock, LANG="C.UTF-8")
    found.ready(shell(COUNT), shell(FAIL, job_id="bad"), shell(COUNT, job_id="lost", puruto_target="nowhere"))
    return found


def printed(machine: Machine, width: str, *words: str) -> str:
    machine.environ["COLUMNS"] = width
    return machine.printed(*words, "--text")[1]


def whole(text: str, machine: Machine) -> int:
    """How often the text names the folder; the test fails if a line end is within its name."""
    folder = str(machine.workspace.home)
    flat = re.sub(r"\s+", " ", text)
    assert text.count(folder) == flat.count(folder), f"broken: {text}"
    return text.count(folder)


@pytest.mark.parametrize("width", WIDTHS)
def test_paths_are_not_broken_at_a_blank(machine: Machine, width: str) -> None:
    workspace = machine.workspace
    (workspace.root / ".env").write_text("A=1\n")
    (workspace.root / ".env").chmod(0o666)
    for words in (
        ("init-db",), ("run-now", "job-0"), ("run-now", "bad"), ("run-now", "lost"), ("status",), ("doctor",),
        ("dry-run", "job-0"), ("dry-run", "lost"), ("install-systemd", "--folder", f"{workspace.home}/mis unidades"),
    ):  # fmt: skip
        assert whole(printed(machine, width, *words), machine), words
    for run in workspace.runs("job-0") + workspace.runs("bad"):
        assert whole(printed(machine, width, "show", run["run_id"]), machine)
        assert whole(printed(machine, width, "logs", "--run", run["run_id"]), machine) >= 2


@pytest.mark.parametrize("width", WIDTHS)
def test_paths_in_errors_are_not_broken(machine: Machine, width: str, capfd: pytest.CaptureFixture[str]) -> None:
    machine.environ["COLUMNS"] = width
    (machine.workspace.root / ".jobs.json").write_text("{")
    with pytest.raises(CronError) as caught:
        machine.run("sync-jobs")
    print_error(caught.value, machine.app(), ["--text"])
    text = capfd.readouterr().out
    assert JOINT not in text
    assert whole(text, machine)


def test_files_and_targets_are_shown_as_a_shell_reads_them(machine: Machine) -> None:
    text = printed(machine, "80", "run-now", "job-0")
    (run,) = machine.workspace.runs("job-0")
    (files,) = re.findall(r"^  files +(.*)$", text, re.MULTILINE)
    assert shlex.split(files) == [str(machine.workspace.root / "runs" / "job-0" / run["run_id"])]
    heads = re.findall(r"^('/.*')$", printed(machine, "80", "logs", "--run", run["run_id"]), re.MULTILINE)
    assert all(Path(path).is_file() for head in heads for path in shlex.split(head))
    assert len(heads) >= 2
    (target,) = re.findall(r"^  target +(.*)$", printed(machine, "80", "dry-run", "job-0"), re.MULTILINE)
    assert shlex.split(target) == [str(machine.workspace.home / TARGET)]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_command_and_the_variables_of_dry_run_can_be_pasted(machine: Machine, width: str) -> None:
    long = ":".join(f"/opt/a-long-folder-{number}/bin" for number in range(20))
    machine.workspace.write_jobs(
        {"command": ["sh", "-c", "echo 'it works' \"$A_B\"\nls | wc -l " + "# and more of it " * 20, "a b", ""],
         "env": {"A_B": f"it's {long} 'x' & y", "PLAIN": "/púrutos", "NOTHING": ""}}
    )  # fmt: skip
    machine.run("sync-jobs", "--allow-removals")
    report = machine.run("dry-run", "job-0")[1]
    text = printed(machine, width, "dry-run", "job-0")
    command, environment = text.partition("\n  command\n")[2].split("\nNext:")[0].split("\n  environment\n")
    assert shlex.split(re.split(r"^  (?:prompt|stdin)$", command, flags=re.MULTILINE)[0]) == report["argv"]
    assert "PLAIN=/púrutos\n" in environment
    assert dict(word.split("=", 1) for word in shlex.split(environment)) == report["environment"]
    shown = subprocess.run(
        ["sh", "-c", f"{environment}\nprintf %s \"$A_B\""], capture_output=True, check=True, text=True
    ).stdout  # fmt: skip
    assert shown == report["environment"]["A_B"]


@pytest.mark.parametrize(
    "unit",
    [
        "python3 main.py run-now a-job --force",
        "python3 main.py history --before a-job-20260225T200000 --limit 3",
        "python3 main.py rename-job old NEW",
        "python3 main.py import-crontab '/srv/mis cosas/crontab' --system",
        "cd '/srv/mis púrutos/puruto-cron' && python3 main.py uninstall-crontab",
        "sudo chown 1000 '/srv/mis púrutos/.env'",
        "chmod go-w '/srv/mis púrutos' /srv/x",
        "systemctl --user enable --now puruto-cron.timer",
        "npm install -g @anthropic-ai/claude-code",
        "ulimit -n",
        "--command sh --command=-c --command 'ls | wc -l'",
        '["sh", "-c", "ls | wc -l"]',
        "'/srv/mis púrutos/x'",
        "* * * * *",
        "*/5 0 1,15 * 1-5",
        "30 8 * JAN-MAR MON",
        "`python3 main.py prune --dry-run`",
    ],
)
def test_what_is_to_be_copied_is_on_one_line_of_any_sentence(unit: str) -> None:
    for before in range(0, 90, 3):
        sentence = f"{'x ' * before}do this: {unit}. Then look at it once more."
        context = ViewContext(NOW, "UTC", Screen(60))
        assert unit in text_of(lambda report, seen: note(report["message"], seen), {"message": sentence}, context)
        error: dict[str, Any] = {"code": "X", "message": sentence, "details": {"hint": sentence}}
        assert error_text(error, Screen(60)).count(unit) == 2


@pytest.mark.parametrize(
    "prose", ["The job a is disabled. It ran 5 of 10 slots, and don't ask / why it doesn't.", "make it so and git it"]
)
def test_prose_is_broken_as_ever(prose: str) -> None:
    assert [piece[0].strip() for piece in pieces(prose)] == prose.split()


def test_a_path_in_a_field_is_known_everywhere_in_its_report() -> None:
    path = "/srv/las  cosas/a b"
    error = {"message": f"{path}/x is not there, and {path} is", "details": {"looked_at": [path], "said": "/a b"}}
    found = joined(error)
    assert " is not there" in found["message"]
    assert found["message"].count(JOINT) == 6
    assert found["details"]["said"] == "/a b", "what a program said is no path of ours"
    assert joined({"message": "/a b"}, ["/a b"]) == {"message": f"/a{JOINT}b"}
    assert Screen(80).shown(found["message"]) == error["message"]


@pytest.mark.parametrize(("path", "word"), [("/a/ñ.txt", "/a/ñ.txt"), ("/a b", "'/a b'"), ("/a'b", "'/a'\"'\"'b'")])
def test_a_path_is_quoted_where_a_shell_needs_it(path: str, word: str) -> None:
    assert pasted(path) == word


@pytest.mark.parametrize("view", ["run-now", "show"])
def test_each_condition_of_success_that_was_not_met_is_printed(machine: Machine, view: str) -> None:
    success = {"exit_codes": [7], "stdout_matches": "DONE", "file_changed": "out.txt",
               "json_schema": {"type": "object", "properties": {"n": {"type": "number"}}}}  # fmt: skip
    machine.workspace.write_jobs(shell('echo \'{"n": "x"}\'', success=success))
    machine.run("sync-jobs", "--allow-removals")
    text = printed(machine, "200", "run-now", "job-0")
    if view == "show":
        (run,) = machine.workspace.runs("job-0")
        text = printed(machine, "200", "show", run["run_id"])
    lines = [line.strip() for line in text.splitlines()]
    assert "- exit_codes: expected [7]; found: 0" in lines
    assert '- stdout_matches: expected "DONE"; found: {"n": "x"}' in lines
    assert any(line.startswith('- file_changed: expected "out.txt"; found: ') for line in lines)
    assert any(
        line.startswith('- json_schema at $.n: expected type: "number"; ') and "not of type" in line for line in lines
    )
    assert "details." not in text
