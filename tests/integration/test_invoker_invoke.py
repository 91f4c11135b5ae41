"""Attempts with the runner `invoke`: what a target may answer, and what is made of anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.invocation import AttemptOutcome
from tests.support_invocation import Place, error_of, invoke_file, result_of, script


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def answer(place: Place, text: str | bytes, *, exit_code: int = 0, **changes: Any) -> AttemptOutcome:
    """One attempt at a target that prints this."""
    data = text.encode() if isinstance(text, str) else text
    (place.target / "answer").write_bytes(data)
    script(place.target / "invoke", f"#!/bin/sh\ncat answer\nexit {exit_code}\n")
    return place.run(**changes)


def test_the_request_comes_on_stdin_and_the_answer_goes_back(place: Place) -> None:
    invoke_file(
        place.target,
        "import json\nasked = json.load(sys.stdin)\n"
        "print(json.dumps({'status': 'ok', 'request_id': asked['request_id'], 'result': {'asked': asked}}))",
    )
    outcome = place.run(prompt="-n 'línea'\n\"$HOME\" 😀", payload={"a": [1, None]})
    sent = place.invocation(prompt="-n 'línea'\n\"$HOME\" 😀", payload={"a": [1, None]}).request
    assert result_of(outcome) == {"asked": sent.as_dict()}
    assert outcome.exit_code == 0
    stored = (place.run_folder / "attempt-1.request.json").read_text(encoding="utf-8")
    assert json.loads(stored) == sent.as_dict()


def test_a_target_that_closes_stdin_at_once_or_never_reads_is_not_hurt_by_a_large_request(place: Place) -> None:
    invoke_file(place.target, 'os.close(0); print(\'{"status": "ok", "result": {"fine": 1}}\')')
    assert result_of(place.run(prompt="x" * 1_000_000)) == {"fine": 1}
    invoke_file(place.target, 'print(\'{"status": "ok", "result": {"fine": 2}}\')')
    assert result_of(place.run(prompt="x" * 1_000_000, attempt=2)) == {"fine": 2}


def test_a_prompt_that_is_no_unicode_text_still_arrives_as_json(place: Place) -> None:
    invoke_file(
        place.target,
        "import json\nprompt = json.load(sys.stdin)['prompt']\n"
        "print(json.dumps({'status': 'ok', 'result': {'same': prompt == 'a\\ud800'}}))",
    )
    assert result_of(place.run(prompt="a\ud800")) == {"same": True}


def test_identifiers_in_the_answer_are_ignored(place: Place) -> None:
    text = '{"status": "ok", "request_id": "req-1", "duration_ms": 999999, "caller": "x", "result": {"a": 1}}'
    response = answer(place, text).response
    assert response.as_dict() == {
        "request_id": "req-1",
        "correlation_id": "corr-1",
        "status": "ok",
        "duration_ms": response.duration_ms,
        "result": {"a": 1},
    }
    assert response.duration_ms < 999_999


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("hello", "not JSON: Expecting value at line 1, column 1, near 'hello'"),
        ('working…\n{"status": "ok", "result": {"a": 1}}', "line 1, column 1, near 'working…"),
        ('{"status": "ok",\n "result": {"a": 1}', "line 2"),
        ('{"status": "ok", "result": {"a": 1}}\n{"status": "ok"}', "Extra data at line 2, column 1"),
        ('["ok"]', "must be an object, is a list"),
        ('"ok"', "must be an object, is a string"),
        ("null", "must be an object, is null"),
        (b'{"status": "ok", "result": {"a": "\xff"}}', "not UTF-8 at byte 34"),
        ('{"status": "ok", "result": {"a": NaN}}', "NaN is not a JSON number"),
        ('{"status": "ok", "result": {"a": -Infinity}}', "-Infinity is not a JSON number"),
        ('{"status": "ok", "result": {"a": 1e400}}', "out of range"),
        ('{"status": "ok", "result": {"a": ' + "9" * 5000 + "}}", "a number of 5000 digits"),
        ('{"status": "ok", "result": ' + '{"a":' * 50_000 + "1" + "}" * 50_001, "nested deeper"),
        ('{"status": "ok", "result": ' + "[" * 1_000_000, "nested deeper"),
        ('{"result": {"a": 1}}', "status is missing"),
        ('{"status": "done", "result": {"a": 1}}', "status must be ok or error, is 'done'"),
        ('{"status": null, "result": {"a": 1}}', "status must be ok or error"),
        ('{"status": true, "result": {"a": 1}}', "status must be ok or error, is a boolean"),
        ('{"status": "ok", "result": "text"}', "result must be an object, is a string"),
        ('{"status": "ok", "result": [1]}', "result must be an object, is a list"),
        ('{"status": "ok", "result": false}', "result must be an object, is a boolean"),
        ('{"status": "ok", "result": {}}', "the result is empty"),
        ('{"status": "ok"}', "the result is empty"),
        ('{"status": "ok", "result": {"a": 1}, "error": {"code": "X", "message": "m"}}', "there is an error too"),
        ('{"status": "error", "error": {"code": "X", "message": "m"}, "result": {"a": 1}}', "there is a result too"),
        ('{"status": "error"}', "error is missing"),
        ('{"status": "error", "error": null}', "error is null"),
        ('{"status": "error", "error": "bad"}', "error is a string"),
        ('{"status": "error", "error": {"message": "m"}}', "error.code must be"),
        ('{"status": "error", "error": {"code": "", "message": "m"}}', "error.code must be"),
        ('{"status": "error", "error": {"code": 7, "message": "m"}}', "error.code must be"),
        ('{"status": "error", "error": {"code": "' + "X" * 129 + '", "message": "m"}}', "error.code must be"),
        ('{"status": "error", "error": {"code": "X"}}', "error.message must be"),
        ('{"status": "error", "error": {"code": "X", "message": "m", "details": "d"}}', "error.details must be"),
        (
            '{"status": "ok", "request_id": "req-2", "result": {"a": 1}}',
            "request_id is 'req-2', but the request has req-1",
        ),
        ('{"status": "ok", "correlation_id": 7, "result": {"a": 1}}', "correlation_id is a number"),
    ],
)
def test_a_wrong_answer_is_an_invalid_response_that_says_what_was_wrong(
    place: Place, text: str | bytes, wrong: str
) -> None:
    outcome = answer(place, text)
    code, message, details = error_of(outcome)
    assert code == "INVALID_RESPONSE"
    assert wrong in message
    assert str(details["wrong"]) in message
    assert details["file"] == str(place.run_folder / "attempt-1.stdout")
    assert len(message) < 400
    assert outcome.exit_code == 0
    assert not outcome.from_target


def test_whitespace_and_a_byte_order_mark_around_the_answer_are_fine(place: Place) -> None:
    assert result_of(answer(place, b'\xef\xbb\xbf\n {"status": "ok", "result": {"a": 1}} \r\n')) == {"a": 1}


def test_null_where_nothing_is_meant_is_fine(place: Place) -> None:
    text = '{"status": "ok", "request_id": null, "correlation_id": "corr-1", "error": null, "result": {"a": null}}'
    assert result_of(answer(place, text)) == {"a": None}


def test_an_empty_result_counts_when_the_job_allows_it(place: Place) -> None:
    assert result_of(answer(place, '{"status": "ok", "result": {}}', allow_empty_result=True)) == {}
    assert result_of(answer(place, '{"status": "ok"}', allow_empty_result=True, attempt=2)) == {}
    assert error_of(answer(place, "", allow_empty_result=True, attempt=3))[0] == "INVALID_RESPONSE"


def test_an_answer_over_one_mebibyte_is_refused_and_one_of_just_that_is_not(place: Place) -> None:
    start, end = '{"status": "ok", "result": {"a": 1}', "}"
    padding = " " * (1024 * 1024 - len(start) - len(end))
    assert result_of(answer(place, start + padding + end)) == {"a": 1}
    code, message, _ = error_of(answer(place, start + padding + " " + end, attempt=2))
    assert code == "INVALID_RESPONSE"
    assert "1048577 bytes; at most 1048576" in message


def test_a_result_over_64_kib_is_replaced_by_where_it_is_and_how_it_begins(place: Place) -> None:
    rows = ["ñ" * 100] * 1000
    found = result_of(answer(place, json.dumps({"status": "ok", "result": {"rows": rows}})))
    assert found["truncated"] is True
    assert found["bytes"] == len(json.dumps({"rows": rows}, ensure_ascii=False).encode())
    assert found["file"] == str(place.run_folder / "attempt-1.stdout")
    preview = found["preview"]
    assert isinstance(preview, str)
    assert preview.startswith('{"rows": ["ñññ')
    assert len(preview.encode()) <= 4096


def test_a_result_of_just_64_kib_stays_as_it_is(place: Place) -> None:
    result = {"a": "x" * (64 * 1024 - len('{"a": ""}'))}
    assert result_of(answer(place, json.dumps({"status": "ok", "result": result}))) == result


def test_text_that_can_not_be_stored_is_replaced(place: Place) -> None:
    outcome = answer(place, r'{"status": "ok", "result": {"a\u0000": "\ud800b\u0000"}}')
    assert result_of(outcome) == {"a\ufffd": "\ufffdb\ufffd"}
    json.dumps(outcome.response.as_dict(), ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("code", ["NO_DATA", "TIMEOUT", "DENIED", "TARGET_NOT_FOUND", "IPC_ERROR"])
def test_an_error_of_the_target_keeps_its_code_and_is_known_to_be_the_targets(place: Place, code: str) -> None:
    outcome = answer(
        place, json.dumps({"status": "error", "error": {"code": code, "message": "no hay", "details": {"n": 1}}})
    )
    assert error_of(outcome) == (code, "no hay", {"n": 1})
    assert outcome.from_target
    assert outcome.exit_code == 0


def test_an_error_with_an_exit_code_keeps_both(place: Place) -> None:
    text = '{"status": "error", "error": {"code": "NO_DATA", "message": "no hay"}}'
    outcome = answer(place, text, exit_code=4)
    assert error_of(outcome) == ("NO_DATA", "no hay", {"exit_code": 4})
    assert outcome.from_target
    assert outcome.exit_code == 4


def test_a_huge_error_is_cut(place: Place) -> None:
    error = {"code": "X", "message": "m" * 10_000, "details": {"rows": ["x" * 100] * 1000}}
    outcome = answer(place, json.dumps({"status": "error", "error": error}))
    _, message, details = error_of(outcome)
    assert len(message) == 4096
    assert details["truncated"] is True


@pytest.mark.parametrize("text", ['{"status": "ok", "result": {"a": 1}}', "", "oops"])
def test_an_exit_code_other_than_0_is_an_error_whatever_was_said(place: Place, text: str) -> None:
    outcome = answer(place, text, exit_code=5)
    code, message, details = error_of(outcome)
    assert code == "NONZERO_EXIT"
    assert details["exit_code"] == 5
    assert "exit code 5" in message
    assert details["answer"]
    assert not outcome.from_target


def test_the_end_of_stderr_helps_with_a_wrong_answer(place: Place) -> None:
    invoke_file(place.target, "print('Traceback: it broke', file=sys.stderr)")
    assert error_of(place.run())[2]["stderr"] == "Traceback: it broke"


def test_an_invoke_file_that_is_not_executable_is_told_with_the_command_to_run(place: Place) -> None:
    (place.target / "invoke").write_text("#!/bin/sh\n")
    code, message, details = error_of(place.run())
    assert code == "IPC_ERROR"
    assert str(place.target / "invoke") in message
    assert details["hint"] == f"Run chmod +x {place.target / 'invoke'}"


def test_an_invoke_file_whose_interpreter_is_missing_is_told(place: Place) -> None:
    script(place.target / "invoke", "#!/opt/none/node\n")
    code, message, _ = error_of(place.run())
    assert code == "IPC_ERROR"
    assert "/opt/none/node" in message


@pytest.mark.parametrize("prepare", ["nothing", "folder", "dangling"])
def test_a_target_without_a_way_to_run_it_is_told_what_it_needs(place: Place, prepare: str) -> None:
    if prepare == "folder":
        (place.target / "invoke").mkdir()
    if prepare == "dangling":
        (place.target / "invoke").symlink_to("nowhere")
    code, message, details = error_of(place.run())
    assert code == "RUNNER_NOT_FOUND"
    assert "puruto-x" in message
    assert str(place.target) in str(details["hint"])
    assert not place.run_folder.exists()


def test_a_command_of_the_job_comes_before_the_invoke_file(place: Place) -> None:
    invoke_file(place.target, "open('invoked', 'w')")
    assert "exit_code" in result_of(place.run(("true",)))
    assert not (place.target / "invoked").exists()
    answer(place, '{"status": "ok", "result": {"a": 1}}', command=("false",), runner="invoke", attempt=2)
    assert (place.run_folder / "attempt-2.stdout").stat().st_size > 0
