"""How commands print: one JSON object, always UTF-8, whatever the locale of cron is."""

from __future__ import annotations

import io
import json
import sys

import pytest

from commands.output import print_json
from commands.view import print_error
from core.errors import CronError, JobNotFound


class Screen(io.TextIOWrapper):
    """A stdout of a given encoding that may be a terminal."""

    def __init__(self, encoding: str, *, terminal: bool = False) -> None:
        self.bytes = io.BytesIO()
        self.terminal = terminal
        super().__init__(self.bytes, encoding=encoding)

    def isatty(self) -> bool:
        return self.terminal


def _printed(monkeypatch: pytest.MonkeyPatch, value: dict[str, object], **options: bool) -> bytes:
    screen = Screen("ascii", **options)
    monkeypatch.setattr(sys, "stdout", screen)
    print_json(value)
    return screen.bytes.getvalue()


def test_programs_get_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _printed(monkeypatch, {"status": "ok", "jobs": [1, 2]}) == b'{"status": "ok", "jobs": [1, 2]}\n'


def test_people_get_it_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _printed(monkeypatch, {"a": {"b": 1}}, terminal=True) == b'{\n  "a": {\n    "b": 1\n  }\n}\n'


def test_text_of_any_language_goes_out_as_utf8_also_in_the_c_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Resumen ñ — 要約 🎉"
    out = _printed(monkeypatch, {"text": text})
    assert text.encode() in out
    assert json.loads(out) == {"text": text}


def test_half_a_surrogate_pair_does_not_end_the_command_and_stays_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(_printed(monkeypatch, {"text": "a\ud800b", "path": "\udcff"})) == {
        "text": "a\ud800b",
        "path": "\udcff",
    }


def test_numbers_that_json_does_not_have_are_null(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = {"spending": [{"cost_usd": float("inf"), "low": -float("inf"), "turns": (float("nan"), 1.5)}], "n": 2}
    assert _printed(monkeypatch, spent) == (
        b'{"spending": [{"cost_usd": null, "low": null, "turns": [null, 1.5]}], "n": 2}\n'
    )


def test_what_was_printed_before_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen("utf-8")
    monkeypatch.setattr(sys, "stdout", screen)
    sys.stdout.write("before\n")
    print_json({})
    assert screen.bytes.getvalue() == b"before\n{}\n"


def test_an_error_is_printed_as_the_contract_says(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen("utf-8")
    monkeypatch.setattr(sys, "stdout", screen)
    print_error(JobNotFound("There is no job x", hint="See list", details={"job_id": "x"}), None)
    assert json.loads(screen.bytes.getvalue()) == {
        "status": "error",
        "error": {
            "code": "JOB_NOT_FOUND",
            "message": "There is no job x",
            "details": {"job_id": "x", "hint": "See list"},
        },
    }


def test_an_error_without_a_hint_says_none() -> None:
    assert CronError("what").as_dict() == {"code": "INTERNAL_ERROR", "message": "what", "details": {}}
