"""`import-crontab`: files, the crontab of the user, one edit of .jobs.json, and jobs that do what cron did."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.boundary import Failure, guarded
from install import units
from tests.support_machine import Machine
from tests.workspace import FakeClock, Workspace

pytestmark = pytest.mark.process

PROGRAM = """#!/bin/sh
file=$(dirname "$0")/crontab.txt
[ -e "$file" ] || { echo "no crontab for me" >&2; exit 1; }
cat "$file"
"""
TEXT = """# mine
MAILTO=ana
GREETING = "good day"
API_TOKEN=abcdefgh12345

0 3 * * * $HOME/bin/backup.sh --password=hunter2hunter
@reboot /usr/bin/x
CRON_TZ=Europe/Madrid
@daily cat%Hello%World
61 * * * * y
"""
JOBS = """{
  "jobs": [
    { "job_id": "backup",   "puruto_target": "puruto-target", "schedule": "@yearly", "prompt": "one" }
  ]
}
"""


@pytest.fixture
def ready(workspace: Workspace) -> Workspace:
    """A file in a look of its own, and a target."""
    workspace.add_target()
    workspace.json("init-db")
    jobs_file(workspace).write_text(JOBS)
    workspace.json("sync-jobs")
    return workspace


def jobs_file(workspace: Workspace) -> Path:
    return workspace.root / ".jobs.json"


def crontab(workspace: Workspace, text: str | bytes, name: str = "tab") -> str:
    """A file with a crontab."""
    path = workspace.home / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def use_program(workspace: Workspace, text: str | None) -> None:
    """A program `crontab` that knows this crontab, or none."""
    folder = workspace.home / "bin"
    folder.mkdir()
    (folder / "crontab").write_text(PROGRAM)
    (folder / "crontab").chmod(0o755)
    if text is not None:
        (folder / "crontab.txt").write_text(text)
    workspace.environ["PATH"] = f"{folder}:{workspace.environ['PATH']}"


def codes(answer: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


def test_lines_become_disabled_jobs_in_one_edit_and_the_others_are_reported(ready: Workspace) -> None:
    answer = ready.json("import-crontab", crontab(ready, TEXT))
    assert [(new["line"], new["job_id"]) for new in answer["imported"]] == [(6, "backup-2"), (9, "cat")]
    assert [(line["line"], line["text"], line["code"]) for line in answer["not_imported"]] == [
        (7, "@reboot /usr/bin/x", "REBOOT"), (10, "61 * * * * y", "SCHEDULE_INVALID"),
    ]  # fmt: skip
    assert all(line["reason"] and line["hint"] for line in answer["not_imported"])
    assert [(variable["name"], variable["use"]) for variable in answer["variables"]] == [
        ("MAILTO", "not_taken_over"), ("GREETING", "env"), ("API_TOKEN", "env"), ("CRON_TZ", "timezone"),
    ]  # fmt: skip
    assert (answer["form"], answer["synced"], answer["already_there"]) == ("user", True, [])
    assert [len(new["next"]["instants"]) for new in answer["imported"]] == [3, 3]
    assert codes(answer) == ["DISABLED", "NO_TICK"]
    text = jobs_file(ready).read_text()
    assert text.startswith(JOBS.rstrip().removesuffix("]\n}").rstrip())
    assert json.loads(text)["jobs"][2]["command"][-2:] == ["cat", "Hello\nWorld"]
    rows = ready.sql("SELECT job_id, enabled, timezone FROM jobs WHERE job_id IN ('backup-2', 'cat') ORDER BY job_id")
    assert [tuple(row.values()) for row in rows] == [("backup-2", 0, "UTC"), ("cat", 0, "Europe/Madrid")]


def test_a_secret_is_in_the_file_and_not_in_the_output(ready: Workspace) -> None:
    done = ready.run("import-crontab", crontab(ready, TEXT))
    for secret in ("abcdefgh12345", "hunter2hunter"):
        assert secret in jobs_file(ready).read_text()
        assert secret.encode() not in done.stdout
    refused = ready.run("import-crontab", crontab(ready, "61 * * * * x --password=hunter3hunter"))
    assert (refused.returncode, b"hunter3hunter" in refused.stdout) == (1, False)
    # The place where the text is cut goes through it.
    cut = ready.run("import-crontab", crontab(ready, f"61 * * * * a {'x' * 965} --password=hunter4hunter\n@daily b\n"))
    assert (cut.returncode, b"hunter4" in cut.stdout, b"--password=***" in cut.stdout) == (0, False, True)


def test_a_second_import_adds_nothing_and_changes_nothing(ready: Workspace) -> None:
    ready.json("import-crontab", crontab(ready, TEXT))
    before = jobs_file(ready).read_text()
    answer = ready.json("import-crontab", crontab(ready, TEXT), "--enable", "--target", "puruto-target")
    assert answer["imported"] == []
    assert [line["job_id"] for line in answer["already_there"]] == ["backup-2", "cat"]
    assert jobs_file(ready).read_text() == before
    more = ready.json("import-crontab", crontab(ready, f"{TEXT}@weekly cat\n"))
    assert [new["job_id"] for new in more["imported"]] == ["cat-2"]


def test_a_dry_run_shows_the_same_and_writes_nothing(ready: Workspace) -> None:
    dry = ready.json("import-crontab", crontab(ready, TEXT), "--dry-run")
    assert jobs_file(ready).read_text() == JOBS
    assert not (ready.root / ".jobs.json.lock").exists()
    real = ready.json("import-crontab", crontab(ready, TEXT))
    assert [new["entry"] for new in dry["imported"]] == [new["entry"] for new in real["imported"]]
    assert [len(new["next"]["instants"]) for new in dry["imported"]] == [3, 3]
    assert (dry["dry_run"], real["dry_run"]) == (True, False)


def test_enabled_jobs_run_and_the_answer_says_that_cron_runs_them_too(ready: Workspace) -> None:
    answer = ready.json("import-crontab", crontab(ready, "@daily true\n"), "--enable")
    assert codes(answer) == ["RUNS_TWICE", "NO_TICK"]
    assert ready.sql("SELECT enabled FROM jobs WHERE job_id = 'job'") == [{"enabled": 1}]


def test_without_a_file_the_own_crontab_is_read_and_our_ticks_are_left_out(ready: Workspace) -> None:
    block = units.block(units.Copy("/other", "/p", "/l"))
    own = f"* * * * * cd {ready.root} && python3 main.py tick\n"
    use_program(ready, f"@daily a\n{block}{own}* * * * * python3 /x/main.py tick\n")
    answer = ready.json("import-crontab")
    assert [(new["line"], new["job_id"]) for new in answer["imported"]] == [(1, "a"), (6, "main")]
    assert [(line["line"], line["code"]) for line in answer["not_imported"]] == [(3, "OWN_TICK"), (5, "OWN_TICK")]


def test_a_crontab_with_our_block_alone_or_with_nothing_is_no_error(ready: Workspace) -> None:
    use_program(ready, units.block(units.Copy("/other", "/p", "/l")))
    assert len(ready.json("import-crontab")["not_imported"]) == 1
    (ready.home / "bin" / "crontab.txt").unlink()
    assert codes(ready.json("import-crontab")) == ["NO_LINES", "NO_TICK"]
    assert codes(ready.json("import-crontab", crontab(ready, "# x\n\nA=1\n"))) == ["NO_LINES", "NO_TICK"]
    assert jobs_file(ready).read_text() == JOBS


def test_standard_input_is_read(ready: Workspace) -> None:
    with open(crontab(ready, "@daily a\r\n@daily b")) as file:
        answer = ready.json("import-crontab", "-", stdin=file)
    assert [new["job_id"] for new in answer["imported"]] == ["a", "b"]
    assert codes(answer) == ["DISABLED", "CRLF", "NO_NEWLINE_AT_END", "NO_TICK"]


def test_the_form_of_the_system_is_known_or_said(ready: Workspace) -> None:
    import pwd

    me = pwd.getpwuid(os.getuid()).pw_name
    text = f"17 * * * * {me} cd / && run-parts /etc/cron.hourly\n@daily nobody x\n"
    answer = ready.json("import-crontab", crontab(ready, text), "--system", "--dry-run")
    assert [new["job_id"] for new in answer["imported"]] == ["cron.hourly"]
    assert [line["code"] for line in answer["not_imported"]] == ["OTHER_USER"]
    answer = ready.json("import-crontab", crontab(ready, text), "--user-form", "--dry-run")
    assert [new["job_id"] for new in answer["imported"]] == [me, "nobody"]
    text = "17 * * * * root x\n"
    assert ready.run("import-crontab", crontab(ready, text), "--dry-run").stdout.count(b'"form": "system"') == 1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.write_bytes(b"#" * 1024 * 1024 + b"#"), "larger"),
    ],
    ids=["missing", "folder", "fifo", "large"],
)
def test_a_file_that_is_no_crontab_is_refused(ready: Workspace, make: Any, told: str) -> None:
    make(ready.home / "tab")
    error = ready.json("import-crontab", str(ready.home / "tab"), code=2)["error"]
    assert error["code"] == "CRONTAB_UNREADABLE"
    assert told in error["message"]
    assert jobs_file(ready).read_text() == JOBS


def test_binary_lines_are_refused_one_by_one(ready: Workspace) -> None:
    answer = ready.json("import-crontab", crontab(ready, b"\x00\x01\xff\n\xe9\n@daily \xe9\n"), code=1)["error"]
    assert answer["code"] == "NOTHING_IMPORTED"
    assert [line["line"] for line in answer["details"]["not_imported"]] == [1, 2, 3]
    mixed = ready.json("import-crontab", crontab(ready, b"@daily \xe9\n@daily a\n"))
    assert [new["job_id"] for new in mixed["imported"]] == ["a"]
    assert mixed["not_imported"][0]["text"] == "@daily \ufffd"


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("SHELL=/bin/sh\n1 5 cron.daily run-parts /etc/cron.daily\n@monthly 15 cron.monthly x y\n", "ANACRONTAB",
         "This is an anacrontab"),
        ("!serial(true)\n@ 30 getmails -all\n0 3 * * * x\n", "FCRONTAB", "a table of fcron"),
        ("*/10 * * * * * * /usr/local/bin/poll\n0 5 4 * * * /opt/nightly.sh --all\n", "TOO_MANY_FIELDS", "No line"),
        ("*/10 * * * * echo a && \\\n             echo b\n", "CONTINUED", "No line"),
    ],
)  # fmt: skip
def test_a_table_of_another_program_changes_nothing(ready: Workspace, text: str, code: str, told: str) -> None:
    error = ready.json("import-crontab", crontab(ready, text), code=1)["error"]
    assert (error["code"], told in error["message"]) == ("NOTHING_IMPORTED", True)
    assert {line["code"] for line in error["details"]["not_imported"]} == {code}
    assert jobs_file(ready).read_text() == JOBS


def test_a_line_that_is_too_long_for_a_job_does_not_prevent_the_others(ready: Workspace) -> None:
    answer = ready.json("import-crontab", crontab(ready, f"@daily {'x' * 40_000}\n@daily a\n"))
    assert [new["job_id"] for new in answer["imported"]] == ["a"]
    (refused,) = answer["not_imported"]
    assert refused["reason"].startswith("command[4] ")
    assert len(refused["text"]) == 1001


def test_the_zone_of_our_jobs_does_not_change_the_zone_of_imported_ones(ready: Workspace) -> None:
    env = {"PURUTO_CRON_TIMEZONE": "Asia/Tokyo"}
    answer = ready.json("import-crontab", crontab(ready, "@daily a\n"), env=env)
    assert answer["imported"][0]["entry"]["timezone"] == "UTC"
    assert len(ready.json("import-crontab", crontab(ready, "@daily a\n"), env=env)["already_there"]) == 1


def test_imported_jobs_run_wherever_the_folder_is_and_whatever_it_is_called(ready: Workspace) -> None:
    path = crontab(ready, "@daily echo mine\n*/90 * * * * echo each hour\n")
    first, second = ready.json("import-crontab", path)["imported"]
    assert (first["entry"]["puruto_target"], first["notes"]) == ("puruto-cron", [])
    assert "minute 0 alone" in second["notes"][0]
    assert ready.json("run-now", first["job_id"], "--force")["status"] == "ok"
    ready.root = ready.root.rename(ready.home / "mi-cron")
    assert ready.json("run-now", first["job_id"], "--force")["status"] == "ok"
    ready.environ["PURUTO_HOME"] = str(ready.home / "elsewhere")
    assert ready.json("run-now", first["job_id"], "--force")["status"] == "ok"


def test_a_missing_target_is_refused_and_another_folder_needs_one(ready: Workspace) -> None:
    path = crontab(ready, "@daily a\n")
    assert ready.json("import-crontab", path, "--target", "puruto-none", code=2)["error"]["code"] == "USAGE"
    other = ready.home / "bin" / "puruto-cron"
    other.mkdir(parents=True)
    env = {"PURUTO_HOME": str(other.parent)}
    assert "--target" in ready.json("import-crontab", path, env=env, code=2)["error"]["details"]["hint"]
    entry = ready.json("import-crontab", path, "--target", "puruto-target")["imported"][0]["entry"]
    assert (entry["puruto_target"], entry["command"]) == ("puruto-target", ["/bin/sh", "-c", "a"])


def test_a_broken_jobs_file_stays_as_it_is(ready: Workspace) -> None:
    jobs_file(ready).write_text(JOBS + "}")
    assert ready.json("import-crontab", crontab(ready, TEXT), code=2)["error"]["code"] == "JOBS_FILE_NOT_JSON"
    assert jobs_file(ready).read_text() == JOBS + "}"


def test_a_file_that_is_missing_or_empty_is_made(workspace: Workspace) -> None:
    workspace.json("init-db")
    for text in (None, '{\r\n\t"jobs": []\r\n}\r\n'):
        jobs_file(workspace).unlink(missing_ok=True)
        if text:
            jobs_file(workspace).write_bytes(text.encode())
        workspace.json("import-crontab", crontab(workspace, "@daily a\n@daily b\n"))
        made = jobs_file(workspace).read_bytes().decode()
        assert [job["job_id"] for job in json.loads(made)["jobs"]] == ["a", "b"]
        assert made.replace("\r\n", "").count("\n") == (0 if text else made.count("\n"))


LINES = r"""
SHELL=/bin/bash
GREETING = "good   day"
HOME=%s
* * * * * echo "$GREETING" | tr a-z A-Z > pipe; pwd >> pipe; echo "$PATH $SHELL ${BASH:+bash}" >> pipe; [ -t 0 ]; cat >> pipe
* * * * * cat > input%%line 1%%line \%% 2%%%%it's "$x" `y` back\slash\\ END%%END%%$2
* * * * * printf '[\%%s]' 'a\b' 'c\%%d' "e'f" > escaped && false; echo "$?" >> escaped
* * * * * read -r first; echo "$0: $first $# $-" > shell%%one
* * * * * cat > empty%%%%
"""  # noqa: E501
#: What Debian's cron 3.0pl1 does with LINES; tests/acceptance compares the two where there is one.
DONE = {
    "pipe": "GOOD   DAY\n{home}\n/usr/bin:/bin /bin/bash bash\n",
    "input": 'line 1\nline % 2\n\nit\'s "$x" `y` back\\slash\\\\ END\nEND\n$2\n',
    "escaped": "[a\\b][c%d][e'f]1\n",
    "shell": "/bin/bash: one 0 hBc\n",
    "empty": "\n",
}


def test_an_imported_job_does_what_cron_does(workspace: Workspace) -> None:
    if not os.path.exists("/bin/bash"):
        pytest.skip("there is no /bin/bash")
    home = workspace.home / "a home"
    home.mkdir()
    workspace.json("init-db")
    answer = workspace.json("import-crontab", crontab(workspace, LINES % home))
    assert answer["not_imported"] == []
    for new in answer["imported"]:
        assert workspace.json("run-now", new["job_id"], "--force")["status"] == "ok"
    found = {path.name: path.read_text() for path in home.iterdir()}
    assert found == {name: text.replace("{home}", str(home)) for name, text in DONE.items()}


def test_the_exit_code_and_a_shell_that_is_missing_are_told(workspace: Workspace) -> None:
    workspace.json("init-db")
    text = "@daily exit 3%x\nSHELL=/no/shell\n@daily b\n"
    first, second = workspace.json("import-crontab", crontab(workspace, text))["imported"]
    failed = workspace.json("run-now", first["job_id"], "--force", code=1)
    assert failed["error"]["details"]["exit_code"] == 3
    assert "/no/shell" in json.dumps(workspace.json("run-now", second["job_id"], "--force", code=1))


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode), st.sampled_from([(), ("--system",)]))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_causes_an_internal_error(
    workspace: Workspace, clock: FakeClock, data: bytes, words: tuple[str, ...]
) -> None:
    path = crontab(workspace, b"@daily " + data)
    if not workspace.database.exists():
        workspace.json("init-db")
    jobs_file(workspace).write_text(JOBS)
    answer = guarded(lambda: Machine(workspace, clock).run("import-crontab", path, *words)[1])
    if isinstance(answer, Failure):
        assert answer.as_dict()["code"] == "NOTHING_IMPORTED"
        assert jobs_file(workspace).read_text() == JOBS
        return
    assert answer["status"] == "ok"
    lists = ("imported", "already_there", "not_imported", "variables")
    numbers = [line["line"] for name in lists for line in answer[name]]
    assert len(set(numbers)) == len(numbers) > 0
    assert len(json.loads(jobs_file(workspace).read_text())["jobs"]) == 1 + len(answer["imported"])
