"""Asking the example siblings as a caller does: their `invoke` in a process of its own, on a copy of their folder."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.workspace import PATIENCE

PURUTOS = Path(__file__).resolve().parents[1] / "examples" / "purutos"

#: Bytes on stdin that are no InvocationRequest, each with a part of the message that says why.
BAD_REQUESTS: Mapping[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON"),
    "spaces": (b" \n", "not JSON"),
    "prose": (b"back it up, please", "line 1, column 1"),
    "half an object": (b'{"request_id": "r",\n "action"', "line 2, column 10"),
    "two objects": (b"{}{}", "Extra data"),
    "not UTF-8": (b'{"prompt": "a\xf1o"}', "not UTF-8 at byte 13"),
    "a list": (b"[]", "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "a text": (b'"run"', "must be a JSON object"),
    "not a number": (b'{"timeout_sec": NaN}', "NaN"),
    "infinite": (b'{"timeout_sec": -Infinity}', "-Infinity"),
    "deep": (b"[" * 200_000, "not usable JSON"),
    "a number of 5000 digits": (b'{"hop": ' + b"9" * 5000 + b"}", ""),
    "an empty object": (b"{}", "request_id must be a string; correlation_id must be a string; action must be"),
    "no action": (b'{"request_id": "r", "correlation_id": "c", "prompt": ""}', "action must be a string"),
    "empty ids": (
        b'{"request_id": "", "correlation_id": "", "action": "run", "prompt": ""}',
        "request_id is empty; correlation_id is empty",
    ),
    "a prompt of the wrong type": (
        b'{"request_id": "r", "correlation_id": "c", "action": "run", "prompt": ["x"]}',
        "prompt must be a string",
    ),
    "a payload of the wrong type": (
        b'{"request_id": "r", "correlation_id": "c", "action": "run", "prompt": "", "payload": [1]}',
        "payload must be an object",
    ),
    "five megabytes": (b" " * 5_000_000, "more than 4194304 bytes"),
}


@dataclass(frozen=True)
class Answer:
    """What one call of `invoke` printed, and its exit code."""

    exit_code: int
    response: dict[str, Any]
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The result of an answer that must be ok."""
        assert self.response["status"] == "ok", self.response
        result: dict[str, Any] = self.response["result"]
        return result

    @property
    def error(self) -> dict[str, Any]:
        """The error of an answer that must have one."""
        assert self.response["status"] == "error", self.response
        error: dict[str, Any] = self.response["error"]
        return error


def copy_of(name: str, parent: Path) -> Path:
    """A fresh copy of the sibling `name` below `parent`."""
    ignored = shutil.ignore_patterns("__pycache__", "backups")
    return Path(shutil.copytree(PURUTOS / name, parent / name, symlinks=True, ignore=ignored))


def request(**changes: object) -> dict[str, object]:
    """An InvocationRequest as invoker.py sends it, with changes."""
    return {
        "request_id": "req-1",
        "correlation_id": "corr-1",
        "caller": "puruto-cron",
        "target": "puruto-example",
        "action": "run",
        "prompt": "",
        "timeout_sec": 120,
        "hop": 0,
        "requested_at": "2026-02-27T09:00:00+00:00",
        "payload": {},
        **changes,
    }


def environment(**more: str) -> dict[str, str]:
    """A poor environment like that of a run, with the interpreter of these tests as `python3`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"PATH": path, "HOME": os.environ.get("HOME", "/"), "LANG": "C", **more}


def start(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """`invoke` started, with its stdin still open."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env=env or environment())


def finish(process: subprocess.Popen[bytes], raw: bytes) -> Answer:
    """Write `raw`, wait for the end, and check the form of what was printed."""
    out, err = process.communicate(raw, timeout=PATIENCE)
    response = json.loads(out)
    assert out.count(b"\n") == 1
    assert out.endswith(b"\n")
    assert set(response) == {"request_id", "correlation_id", "duration_ms", "status"} | {
        "ok": {"result"},
        "error": {"error"},
    }.get(response["status"], {"a status"})
    assert type(response["duration_ms"]) is int
    assert response["duration_ms"] >= 0
    if response["status"] == "error":
        assert set(response["error"]) == {"code", "message", "details"}
        assert response["error"]["message"]
    else:
        assert response["result"]["summary"].strip()
    stderr = err.decode()
    assert "Traceback" not in stderr
    return Answer(process.returncode, response, stderr)


def ask_raw(folder: Path, raw: bytes, env: Mapping[str, str] | None = None) -> Answer:
    """Run `folder`/invoke on `raw`. It must exit 0, whatever it was sent."""
    answer = finish(start([folder / "invoke"], env), raw)
    assert answer.exit_code == 0
    return answer


def ask(folder: Path, env: Mapping[str, str] | None = None, /, **changes: object) -> Answer:
    """Run `folder`/invoke on a good request with these changes; its ids must come back."""
    answer = ask_raw(folder, json.dumps(request(**changes)).encode(), env)
    assert answer.response["request_id"] == "req-1"
    assert answer.response["correlation_id"] == "corr-1"
    return answer


def module(sibling: str, name: str) -> ModuleType:
    """A module beside a sibling's `invoke`, imported into this process."""
    sys.path.insert(0, str(PURUTOS / sibling))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)
