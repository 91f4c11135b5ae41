"""What a chat message of the sibling puruto-telegram says."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.workspace import PROJECT

FOLDER = PROJECT / "examples" / "purutos" / "puruto-telegram"


@pytest.fixture(scope="module")
def text() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    before = set(sys.modules)
    try:
        spec = importlib.util.spec_from_file_location("telegram_text", FOLDER / "telegram_text.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(FOLDER))
        for name in set(sys.modules) - before:
            if name.startswith(("inbox", "telegram_")):
                del sys.modules[name]


def message(text: ModuleType, **fields: Any) -> str:
    """The only message of an event, without its marks."""
    event = {"ts": "2026-07-25T20:05:09+00:00", "job_id": "backup", "run_id": "backup-1", **fields}
    (part,) = text.messages(event)
    return str(text.plain(part))


def success(result: dict[str, Any]) -> dict[str, Any]:
    return {"result": {"status": "ok", "response": {"status": "ok", "result": result}}}


def command(**fields: Any) -> dict[str, Any]:
    return success({"exit_code": 0, "stdout": "", "stdout_bytes": 0, "stdout_truncated": False, **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (command(), "Ended well, printed nothing"),
        (command(stdout=" \n"), "Ended well, printed nothing"),
        (command(exit_code=3), "Ended well, with exit code 3, printed nothing"),
        (command(stderr="12 files copied"), "Ended well. On stderr:\n12 files copied"),
        (command(stdout="12 files"), "12 files"),
        (success({}), "Ended well, with an empty result"),
        (success({"agent": "claude", "text": "", "session_id": "s"}), "Ended well, said nothing"),
        (success({"agent": "claude", "text": "", "structured_output": {"a": 1}}), '{\n "a": 1\n}'),
        (success({"rows": 3}), '{\n "rows": 3\n}'),
    ],
)
def test_a_success_says_what_was_answered_or_that_nothing_was(
    text: ModuleType, fields: dict[str, Any], said: str
) -> None:
    assert message(text, **fields).splitlines()[1:-1] == said.splitlines()


def failure(code: str, words: str, **details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": words, "details": details}}


LONG = "the key was refused, " * 30


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (failure("NONZERO_EXIT", "sh ended with exit code 3"),
         "NONZERO_EXIT: sh ended with exit code 3, and printed nothing"),
        (failure("NONZERO_EXIT", "sh ended with exit code 3", stderr="no disk"),
         "NONZERO_EXIT: sh ended with exit code 3\nno disk"),
        (failure("AGENT_REFUSED", "claude failed: Invalid API key · Run /login", said="Invalid API key ·\nRun /login"),
         "AGENT_REFUSED: claude failed: Invalid API key · Run /login"),
        (failure("AGENT_REFUSED", f"claude failed: {LONG[:400]}", said=LONG), f"AGENT_REFUSED: claude failed\n{LONG}"),
        (failure("INVOKER_ERROR_STATUS", "El invoker devolvió status != ok",
                 response_error={"code": "NO_MONEY", "message": "the account is empty"}),
         "INVOKER_ERROR_STATUS: El invoker devolvió status != ok\nNO_MONEY: the account is empty"),
        (failure("TIMEOUT", "it took too long"), "TIMEOUT: it took too long"),
    ],
)  # fmt: skip
def test_a_failure_says_each_sentence_once(text: ModuleType, fields: dict[str, Any], said: str) -> None:
    lines = message(text, **fields).splitlines()[1:-1]
    assert [line.strip() for line in lines] == [line.strip() for line in said.splitlines()]


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Europe/Madrid", "2026-07-25 22:05 Europe/Madrid"),
        ("America/New_York", "2026-07-25 16:05 America/New_York"),
        ("Etc/UTC", "2026-07-25 20:05 UTC"),
        (None, "2026-07-25T20:05:09+00:00"),
        ("Nowhere/Zone", "2026-07-25T20:05:09+00:00"),
        ("../../etc/passwd", "2026-07-25T20:05:09+00:00"),
        (7, "2026-07-25T20:05:09+00:00"),
    ],
)
def test_the_time_is_that_of_the_jobs_zone(text: ModuleType, zone: object, told: str) -> None:
    assert message(text, **command(), timezone=zone).splitlines()[-1] == f"backup-1 · {told}"
