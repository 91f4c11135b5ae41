"""Attempts with the runner `command`: real programs, real files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support_invocation import Place, error_of, python, result_of, script


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_command_runs_in_the_targets_folder_and_its_output_is_the_result(place: Place) -> None:
    outcome = place.run(python("print(os.getcwd()); print('careful', file=sys.stderr)"))
    text = f"{place.target}\n"
    assert result_of(outcome) == {
        "exit_code": 0,
        "stdout": text,
        "stdout_bytes": len(text),
        "stdout_truncated": False,
        "stderr": "careful",
    }
    assert outcome.exit_code == 0
    assert not outcome.stopped
    assert not outcome.from_target
    assert (outcome.response.request_id, outcome.response.correlation_id) == ("req-1", "corr-1")
    assert outcome.response.duration_ms >= 0


def test_arguments_reach_the_command_byte_for_byte(place: Place) -> None:
    arguments = [
        "-n",
        "--",
        "",
        " ",
        "a b",
        "$HOME `id` $(id)",
        "\"'\\",
        "line\nbreak\r\t",
        "*",
        "ñ€😀",
        "x" * 32_000,
        "\udcff",
    ]
    result_of(place.run([*python("open('args', 'wb').write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"), *arguments]))
    assert (place.target / "args").read_bytes().split(b"\0") == [
        argument.encode("utf-8", "surrogateescape") for argument in arguments
    ]


@pytest.mark.parametrize(
    "prompt", ["-rf", "--help", "\"'\\$(id)`id`", "línea 1\nlínea 2\r\n\t😀", "x" * 100_000, "\x01"]
)
def test_the_request_file_gives_a_command_its_prompt_unchanged(place: Place, prompt: str) -> None:
    command = ("cp", "--", "request", "copy")
    copy = python("import shutil; shutil.copy(os.environ['PURUTO_CRON_REQUEST_FILE'], 'copy')")
    result_of(place.run(copy, prompt=prompt, payload={"job_id": "j"}))
    found = json.loads((place.target / "copy").read_text(encoding="utf-8"))
    assert found["prompt"] == prompt
    assert found == place.invocation(command, prompt=prompt, payload={"job_id": "j"}).request.as_dict()


def test_a_child_sees_exactly_the_promised_environment(place: Place) -> None:
    place.variables = {"PATH": os.environ["PATH"], "HOME": "/h", "USER": "u", "LOGNAME": "u", "SHELL": "/bin/sh"}
    place.variables |= {"TOKEN": "s3cret", "OTHER": "no", "LANG": "C.UTF-8", "BASH_ENV": "/evil"}
    outcome = place.run(
        ("cat", "/proc/self/environ"),
        env={"MODE": "línea\n2"},
        allow_env=("TOKEN",),
        scheduled_for="2026-02-25T20:00:00+00:00",
        job_id="j",
        hop=2,
    )
    result_of(outcome)
    raw = (place.run_folder / "attempt-1.stdout").read_bytes().rstrip(b"\0").split(b"\0")
    found = dict(entry.decode().split("=", 1) for entry in raw)
    assert len(found) == len(raw)
    assert found == {
        "PATH": os.environ["PATH"],
        "HOME": "/h",
        "USER": "u",
        "LOGNAME": "u",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "MODE": "línea\n2",
        "TOKEN": "s3cret",
        "PURUTO_CRON_RUN_ID": place.run_id,
        "PURUTO_CRON_RUN_FOLDER": str(place.run_folder),
        "PURUTO_CRON_JOB_ID": "j",
        "PURUTO_CRON_SLOT": "2026-02-25T20:00:00+00:00",
        "PURUTO_CRON_ATTEMPT": "1",
        "PURUTO_CRON_REQUEST_ID": "req-1",
        "PURUTO_CRON_CORRELATION_ID": "corr-1",
        "PURUTO_CRON_HOP": "2",
        "PURUTO_CRON_REQUEST_FILE": str(place.run_folder / "attempt-1.request.json"),
    }


def test_the_program_is_looked_up_in_the_childs_path(place: Place) -> None:
    tools = place.home / "tools"
    tools.mkdir()
    script(tools / "our-tool", "#!/bin/sh\necho found\n")
    assert result_of(place.run(("our-tool",), env={"PATH": f"{tools}:/bin"}))["stdout"] == "found\n"
    code, message, details = error_of(place.run(("our-tool",), attempt=2))
    assert (code, details["program"]) == ("IPC_ERROR", "our-tool")
    assert "our-tool was not found in PATH" in message
    assert os.environ["PATH"] in message


def test_standard_input_is_empty(place: Place) -> None:
    assert result_of(place.run(("cat",)))["stdout"] == ""


def test_a_program_of_the_target_is_named_relative_to_its_folder(place: Place) -> None:
    script(place.target / "report.sh", "#!/bin/sh\necho ok\n")
    assert result_of(place.run(("./report.sh",)))["stdout"] == "ok\n"


def test_output_that_is_not_utf8_or_holds_nuls_is_replaced(place: Place) -> None:
    outcome = place.run(
        python(r"sys.stdout.buffer.write(b'a\xff\0\xed\xa0\x80\xc3\xb1'); sys.stderr.buffer.write(b'\xfe!')")
    )
    found = result_of(outcome)
    assert found["stdout"] == "a\ufffd\ufffd\ufffd\ufffd\ufffdñ"
    assert found["stderr"] == "\ufffd!"
    assert found["stdout_bytes"] == 8
    json.dumps(outcome.response.as_dict(), ensure_ascii=False).encode("utf-8")


def test_the_first_64_kib_are_kept_up_to_a_whole_character(place: Place) -> None:
    found = result_of(place.run(python("sys.stdout.write('a' + 'ñ' * 40_000)")))
    text = found["stdout"]
    assert isinstance(text, str)
    assert text == "a" + "ñ" * 32_767
    assert found["stdout_bytes"] == 80_001
    assert found["stdout_truncated"] is True


def test_exactly_64_kib_are_whole(place: Place) -> None:
    found = result_of(place.run(python("sys.stdout.write('a' * 65_536)")))
    assert (len(str(found["stdout"])), found["stdout_truncated"]) == (65_536, False)


def test_an_exit_code_other_than_0_is_told_with_the_end_of_stderr(place: Place) -> None:
    outcome = place.run(python("sys.stderr.write('x' * 5_000 + '\\nñ last words\\n'); sys.exit(3)"))
    code, message, details = error_of(outcome)
    assert code == "NONZERO_EXIT"
    assert "exit code 3" in message
    assert details["exit_code"] == 3
    assert details["stderr"] == "ñ last words"
    assert str(place.run_folder / "attempt-1.stderr") in str(details["hint"])
    assert outcome.exit_code == 3
    assert not outcome.from_target


def test_without_stderr_the_end_of_stdout_is_told(place: Place) -> None:
    _, _, details = error_of(place.run(python("print('it went wrong'); sys.exit(1)")))
    assert details["stdout"] == "it went wrong"
    assert "stderr" not in details


def test_a_process_that_dies_of_a_signal_is_told_by_its_name(place: Place) -> None:
    outcome = place.run(python("os.kill(os.getpid(), signal.SIGSEGV)"))
    code, message, details = error_of(outcome)
    assert (code, outcome.exit_code) == ("NONZERO_EXIT", -11)
    assert details["signal"] == "SIGSEGV (11)"
    assert "SIGSEGV" in message


def test_files_and_folders_are_for_us_alone(place: Place) -> None:
    result_of(place.run(("true",)))
    names = {path.name: path.stat().st_mode & 0o777 for path in place.run_folder.iterdir()}
    assert names == {"attempt-1.request.json": 0o600, "attempt-1.stdout": 0o600, "attempt-1.stderr": 0o600}
    assert place.run_folder.stat().st_mode & 0o777 == 0o700
    assert place.run_folder.parent.stat().st_mode & 0o777 == 0o700


def test_attempts_of_one_run_share_its_folder(place: Place) -> None:
    result_of(place.run(("true",)))
    result_of(place.run(("true",), attempt=2))
    assert len(list(place.run_folder.iterdir())) == 6
    code, message, _ = error_of(place.run(("true",), attempt=2))
    assert code == "IPC_ERROR"
    assert "File exists" in message


def test_a_run_folder_that_is_a_link_or_a_file_is_refused(place: Place) -> None:
    place.run_folder.parent.mkdir(parents=True)
    elsewhere = place.home / "elsewhere"
    elsewhere.mkdir()
    place.run_folder.symlink_to(elsewhere)
    assert error_of(place.run(("touch", "ran")))[0] == "IPC_ERROR"
    place.run_folder.unlink()
    place.run_folder.write_text("")
    assert error_of(place.run(("touch", "ran")))[0] == "IPC_ERROR"
    assert list(elsewhere.iterdir()) == []
    assert not (place.target / "ran").exists()


def test_a_child_that_replaces_its_output_is_told_and_not_followed(place: Place) -> None:
    (place.home / "secret").write_text("secret")
    folder = "os.path.dirname(os.environ['PURUTO_CRON_REQUEST_FILE'])"
    outcome = place.run(python(f"out = {folder} + '/attempt-1.stdout'; os.unlink(out); os.symlink('/etc/passwd', out)"))
    code, message, _ = error_of(outcome)
    assert (code, outcome.exit_code) == ("IPC_ERROR", 0)
    assert "attempt-1.stdout can't be read" in message
    outcome = place.run(python(f"out = {folder} + '/attempt-2.stdout'; os.unlink(out); os.mkfifo(out)"), attempt=2)
    assert "no longer a regular file" in error_of(outcome)[1]


@pytest.mark.parametrize(
    ("name", "content", "mode", "wrong"),
    [
        ("gone-interpreter", "#!/opt/none/python9\nprint()\n", 0o755, "interpreter '/opt/none/python9'"),
        ("crlf", "#!/bin/sh\r\necho\r\n", 0o755, "interpreter '/bin/sh\\r'"),
        ("plain", "#!/bin/sh\n", 0o644, "is not executable"),
        ("no-format", "print('hello')\n", 0o755, "no executable format"),
        ("broken-elf", "\x7fELF\x02\x01\x01" + "\0" * 60, 0o755, "broken-elf"),
        ("empty", "", 0o755, "no executable format"),
    ],
)
def test_a_program_that_can_not_be_started_is_told_in_words(
    place: Place, name: str, content: str, mode: int, wrong: str
) -> None:
    path = script(place.target / name, content)
    path.chmod(mode)
    outcome = place.run((f"./{name}",))
    code, message, details = error_of(outcome)
    assert code == "IPC_ERROR"
    assert wrong in message
    assert details["hint"]
    assert outcome.exit_code is None
    assert not outcome.from_target


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_an_interpreter_that_can_not_be_executed_is_named(place: Place, mode: int) -> None:
    interpreter = script(place.target / "interpreter", "no program")
    interpreter.chmod(mode)
    script(place.target / "report", f"#!{interpreter}\n")
    _, message, _ = error_of(place.run(("./report",)))
    assert f"the interpreter '{interpreter}', named in the first line of {place.target / 'report'}" in message
    assert "can't be executed" in message


def test_each_way_of_not_starting_has_words_of_its_own(place: Place) -> None:
    (place.target / "folder").mkdir()
    messages = [
        error_of(place.run(command, attempt=number))[1]
        for number, command in enumerate(
            [("no-such-program",), ("./missing",), ("./folder",), ("a\0b",), ("",)], start=1
        )
    ]
    assert "no-such-program was not found in PATH" in messages[0]
    assert f"./missing does not exist (in {place.target})" in messages[1]
    assert "is a folder, not a program" in messages[2]
    assert "null byte" in messages[3]
    assert "was not found in PATH" in messages[4]


def test_too_many_arguments_for_the_system_are_told(place: Place) -> None:
    _, message, details = error_of(place.run(("true", "€" * 60_000)))
    assert "more arguments" in message
    assert details["errno"] == "E2BIG"


def test_a_variable_with_a_nul_is_told(place: Place) -> None:
    assert "null byte" in error_of(place.run(("true",), env={"A": "x\0y"}))[1]


def test_a_payload_that_is_no_json_is_told_and_nothing_starts(place: Place) -> None:
    for attempt, payload in enumerate([{"x": float("nan")}, {"x": object()}], start=1):
        code, message, _ = error_of(place.run(("touch", "ran"), payload=payload, attempt=attempt))
        assert code == "IPC_ERROR"
        assert "can't be written as JSON" in message
    assert not (place.target / "ran").exists()


@pytest.mark.process
@pytest.mark.parametrize("in_thread", [False, True])
def test_a_parent_that_ignores_child_signals_makes_no_failure_a_success(tmp_path: Path, in_thread: bool) -> None:
    """Under SIGCHLD ignored the system throws exit codes away, and `subprocess` reads 0."""
    import subprocess

    call = "go()" if not in_thread else "thread = threading.Thread(target=go); thread.start(); thread.join()"
    text = f"""
import signal, sys, threading
from pathlib import Path
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from tests.support_invocation import Place
def go():
    error = Place(Path({str(tmp_path)!r})).run(("false",)).response.error
    print(error.code if error else "OK")
{call}
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", text], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == ("IPC_ERROR" if in_thread else "NONZERO_EXIT"), done.stderr
