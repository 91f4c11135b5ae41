"""`python3 invoker.py`, as people and other Purutos start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from system import processes
from tests.support_invocation import invoke_file, told
from tests.workspace import link_program

pytestmark = pytest.mark.process
ECHO = """
import json
asked = json.load(sys.stdin)
print(json.dumps({"status": "ok", "result": {"asked": asked, "hop": os.environ["PURUTO_CRON_HOP"]}}))
"""


class Program:
    """A copy of the program among siblings of its own."""

    def __init__(self, home: Path) -> None:
        self.root, self.target = home / "puruto-cron", home / "puruto-x"
        self.target.mkdir()
        link_program(self.root)
        invoke_file(self.target, ECHO)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(self.root / "invoker.py"), *arguments],
            cwd="/",
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments: str, code: int = 0, environ: dict[str, str] | None = None) -> dict[str, Any]:
        with self.start(*arguments, **environ or {}) as process:
            out, err = process.communicate()
        assert process.returncode == code, (out, err)
        assert err == b""
        assert out.count(b"\n") == 1
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_the_contracts_call_prints_request_and_response(program: Program) -> None:
    found = program(
        "--target",
        "puruto-x",
        "--action",
        "read",
        "--prompt",
        "Lee registro",
        "--caller",
        "puruto-ipc",
        "--timeout",
        "9",
    )
    assert set(found) == {"request", "response"}
    asked = found["request"]
    assert asked["request_id"].startswith("req-")
    assert asked["correlation_id"].startswith("corr-")
    assert {key: asked[key] for key in ("caller", "target", "action", "prompt", "timeout_sec", "hop", "payload")} == {
        "caller": "puruto-ipc",
        "target": "puruto-x",
        "action": "read",
        "prompt": "Lee registro",
        "timeout_sec": 9,
        "hop": 0,
        "payload": {},
    }
    response = found["response"]
    assert response["status"] == "ok"
    assert response["request_id"] == asked["request_id"]
    assert response["correlation_id"] == asked["correlation_id"]
    assert response["result"] == {"asked": asked, "hop": "0"}
    folder = program.root / "runs" / "_invoker" / asked["request_id"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "attempt-1.request.json",
        "attempt-1.stderr",
        "attempt-1.stdout",
    ]


@pytest.mark.parametrize("prompt", ["-rf", "--target", "--", "-", "línea 1\nlínea 2 \"'$(id)😀"])
def test_a_prompt_arrives_unchanged_even_if_it_looks_like_an_option(program: Program, prompt: str) -> None:
    found = program("--prompt", prompt, "--target", "puruto-x", "--payload", '{"a": [1]}')
    assert found["response"]["result"]["asked"]["prompt"] == prompt
    assert found["response"]["result"]["asked"]["payload"] == {"a": [1]}


def test_an_error_response_is_printed_too_and_exits_1(program: Program) -> None:
    found = program("--target", "puruto-none", "--prompt", "x", code=1)
    assert found["response"]["status"] == "error"
    assert found["response"]["error"]["code"] == "TARGET_NOT_FOUND"
    assert (
        program("--target", "../puruto-x", "--prompt", "x", code=1)["response"]["error"]["code"] == "TARGET_NOT_FOUND"
    )


def test_the_policy_and_its_default_timeout_are_used(program: Program) -> None:
    policy = program.root / ".puruto-ipc.json"
    policy.write_text('{"default_timeout_sec": 77, "allowed_actions": {"puruto-x": ["read"]}}')
    assert program("--target", "puruto-x", "--action", "read", "--prompt", "x")["request"]["timeout_sec"] == 77
    assert program("--target", "puruto-x", "--prompt", "x", code=1)["response"]["error"]["code"] == "DENIED"
    policy.write_text("{")
    found = program("--target", "puruto-x", "--prompt", "x", code=1)
    assert (found["response"]["error"]["code"], found["request"]["timeout_sec"]) == ("DENIED", 120)


def test_a_call_from_within_a_run_is_one_hop_further_and_keeps_the_correlation(program: Program) -> None:
    inside = {"PURUTO_CRON_HOP": "1", "PURUTO_CRON_CORRELATION_ID": "corr-outer"}
    found = program("--target", "puruto-x", "--prompt", "x", environ=inside)
    assert (found["request"]["hop"], found["request"]["correlation_id"]) == (2, "corr-outer")
    assert found["response"]["result"]["hop"] == "2"
    assert program("--target", "puruto-x", "--prompt", "x", "--hop", "0", environ=inside)["request"]["hop"] == 0
    inside["PURUTO_CRON_HOP"] = "2"
    assert (
        program("--target", "puruto-x", "--prompt", "x", code=1, environ=inside)["response"]["error"]["code"]
        == "DENIED"
    )


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        ((), {}, "--target and --prompt must be given"),
        (("--target", "puruto-x"), {}, "--prompt"),
        (("--target", "puruto-x", "--prompt"), {}, "--prompt"),
        (("--target", "puruto-x", "--prompt", ""), {}, "--prompt must be"),
        (("--target", "puruto-x", "--prompt", "x" * 100_001), {}, "100000 characters"),
        (("--target", "puruto-x", "--prompt", "\udcff"), {}, "UTF-8"),
        (("--target", "", "--prompt", "x"), {}, "--target must be"),
        (("--target", "puruto-x", "--prompt", "x", "--timeout", "soon"), {}, "--timeout must be a whole number"),
        (("--target", "puruto-x", "--prompt", "x", "--timeout", "0"), {}, "--timeout must be a whole number from 1"),
        (
            ("--target", "puruto-x", "--prompt", "x", "--timeout", "604801"),
            {},
            "--timeout must be a whole number from 1",
        ),
        (("--target", "puruto-x", "--prompt", "x", "--hop", "-1"), {}, "--hop must be a whole number from 0"),
        (("--target", "puruto-x", "--prompt", "x", "--payload", "{"), {}, "--payload is not JSON"),
        (("--target", "puruto-x", "--prompt", "x", "--payload", "[]"), {}, "--payload must be an object"),
        (("--target", "puruto-x", "--prompt", "x", "--payload", '{"a": NaN}'), {}, "NaN"),
        (("--target", "puruto-x", "--prompt", "x", "--bogus", "1"), {}, "--bogus"),
        (("--target", "puruto-x", "--prompt", "x", "more"), {}, "more"),
        (("--target", "puruto-x", "--promp", "x"), {}, "--promp"),
        (("--target", "puruto-x", "--prompt", "x", "--hop", "1001"), {}, "--hop must be a whole number from 0 to 1000"),
        (("--target", "puruto-x", "--prompt", "x"), {"PURUTO_CRON_HOP": "many"}, "PURUTO_CRON_HOP"),
        (("--target", "puruto-x", "--prompt", "x"), {"PURUTO_CRON_HOP": "1001"}, "PURUTO_CRON_HOP"),
        (("--target", "puruto-x", "--prompt", "x"), {"PURUTO_CRON_KILL_GRACE_SECONDS": "x"}, "KILL_GRACE"),
    ],
)
def test_bad_usage_and_bad_settings_are_a_json_error_with_exit_code_2(
    program: Program, arguments: tuple[str, ...], environ: dict[str, str], said: str
) -> None:
    found = program(*arguments, code=2, environ=environ)
    assert found["status"] == "error"
    assert set(found["error"]) == {"code", "message", "details"}
    assert said in found["error"]["message"]
    assert found["error"]["details"]["hint"]
    assert not (program.root / "runs").exists()


def test_help_is_for_people(program: Program) -> None:
    with program.start("--help", LC_ALL="C") as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert b"--prompt" in out
    assert b"Exit codes" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_tree_and_shows_in_the_exit_code(program: Program, number: int, code: int) -> None:
    invoke_file(
        program.target,
        """
if not os.fork():
    os.setsid()
    tell("daemon")
    sleep()
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    tell("bare")
    os.execve(sys.executable, [sys.executable, "-ISc", "import time; time.sleep(10**6)"], {})
tell("root")
sleep()
""",
    )
    with program.start("--target", "puruto-x", "--prompt", "x") as process:
        members = [told(program.target, name) for name in ("root", "daemon", "bare")]
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == code
    assert err == b""
    assert json.loads(out)["response"]["error"]["code"] == "CANCELLED"
    assert not any(processes.is_alive(member) for member in members)


def test_a_terminal_that_is_closed_ends_nothing_that_nohup_protects(program: Program) -> None:
    invoke_file(program.target, "tell('root')\nsleep()\n")
    command = [sys.executable, str(program.root / "invoker.py"), "--target", "puruto-x", "--prompt", "x"]
    with subprocess.Popen(
        ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *command],
        cwd="/",
        env=program.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        told(program.target, "root")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    # Signals that wait together are handled by their numbers: HUP, had it been heard, would be the reason.
    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads(out)["response"]["error"]["details"]["reason"] == "SIGTERM"


MEASURED = """
import resource, runpy, sys
sys.argv[0] = {program!r}
try:
    runpy.run_path({program!r}, run_name="__main__")
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def peak_kib(program: Program, code: int) -> int:
    """The most memory that one invocation by the program ever held."""
    text = f"import sys; sys.path.insert(0, {str(program.root)!r})" + MEASURED.format(
        program=str(program.root / "invoker.py")
    )
    done = subprocess.run(
        [sys.executable, "-c", text, "--target", "puruto-x", "--prompt", "x"],
        env=program.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, (done.stdout[:1000], done.stderr[-1000:])
    if code:
        assert "1073741824 bytes" in json.loads(done.stdout)["response"]["error"]["message"]
    return int(done.stderr)


def test_a_gigabyte_of_output_costs_no_memory_of_ours(program: Program) -> None:
    before = peak_kib(program, 0)
    script = program.target / "invoke"
    script.write_text("#!/bin/sh\nhead -c 1073741824 /dev/zero\nhead -c 104857600 /dev/zero >&2\n")
    after = peak_kib(program, 1)
    output = max(program.root.glob("runs/_invoker/*/attempt-1.stdout"), key=lambda path: path.stat().st_size)
    assert output.stat().st_size == 1 << 30
    output.unlink()
    assert after - before < 32 * 1024


def test_a_program_that_is_read_through_a_closed_pipe_leaves_nothing_behind(program: Program) -> None:
    invoke_file(program.target, "tell('root')\nwhile not os.path.exists('go'): time.sleep(0.01)\n" + ECHO)
    with program.start("--target", "puruto-x", "--prompt", "x") as process:
        root = told(program.target, "root")
        assert process.stdout is not None
        process.stdout.close()
        (program.target / "go").touch()
        process.wait()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert not processes.is_alive(root)
