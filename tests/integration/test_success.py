"""What a job calls success: each check with real processes, and that no expression and no schema holds anybody up."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.invocation import AttemptOutcome, Invocation
from core.job import Success
from core.run import ProcessId
from invocation import success, success_child
from system.processes import Stop, find_marked, marks
from tests.support_invocation import Place, error_of, invoke_file, python, result_of

ENDLESS = "^(a+)+$"
ENDLESS_TEXT = "a" * 60 + "b"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def missed(outcome: AttemptOutcome) -> list[dict[str, Any]]:
    """What `details.failed` lists of an attempt that missed its success."""
    code, message, details = error_of(outcome)
    assert code == "SUCCESS_CHECK_FAILED"
    assert not outcome.from_target
    assert not outcome.stopped
    failed = details["failed"]
    assert isinstance(failed, list)
    assert all(entry["check"] in message for entry in failed)
    assert len(json.dumps(failed)) < 10_000
    return failed


def answering(place: Place, result: str, then: str = "") -> None:
    """An `invoke` that answers with this Python expression as its result."""
    lines = "import json, sys\njson.load(sys.stdin)\nprint(json.dumps({'status': 'ok', 'result': %s}))\n%s"
    invoke_file(place.target, lines % (result, then))


def endless(place: Place) -> Invocation:
    """An attempt whose check would take for ever."""
    return place.invocation(python(f"print('{ENDLESS_TEXT}')"), success=Success(stdout_matches=ENDLESS))


def assert_only_the_three_files_are_left(place: Place) -> None:
    names = {path.name for path in place.run_folder.iterdir()}
    assert names == {f"attempt-1.{end}" for end in ("request.json", "stdout", "stderr")}


# --- exit codes ---


@pytest.mark.parametrize(("codes", "code"), [([0], 0), ([0, 3], 3), ([3], 3), ([255], 255)])
def test_an_exit_code_that_is_named_is_a_success(place: Place, codes: list[int], code: int) -> None:
    outcome = place.run(python(f"print('x'); sys.exit({code})"), success=Success(exit_codes=codes))
    assert (result_of(outcome)["exit_code"], result_of(outcome)["stdout"], outcome.exit_code) == (code, "x\n", code)


@pytest.mark.parametrize(("codes", "code"), [([0], 1), ([3], 0), ([0, 3], 4)])
def test_an_exit_code_that_is_not_named_is_missed_also_0(place: Place, codes: list[int], code: int) -> None:
    outcome = place.run(python(f"print('why', file=sys.stderr); sys.exit({code})"), success=Success(exit_codes=codes))
    assert missed(outcome) == [{"check": "exit_codes", "expected": codes, "found": code}]
    assert error_of(outcome)[2]["stderr"] == "why"
    assert outcome.exit_code == code


def test_a_signal_is_never_a_success(place: Place) -> None:
    outcome = place.run(python("os.kill(os.getpid(), 9)"), success=Success(exit_codes=list(range(256))))
    (entry,) = missed(outcome)
    assert entry["found"] == "killed by SIGKILL (9)"


def test_without_success_only_exit_code_0_is_a_success(place: Place) -> None:
    assert error_of(place.run(python("sys.exit(3)")))[0] == "NONZERO_EXIT"


@pytest.mark.parametrize(
    ("codes", "code", "good"), [([0, 3], 3, True), ([3], 3, True), ([3], 0, False), ([0], 3, False)]
)
def test_an_invoke_needs_one_of_the_exit_codes_besides_its_answer(
    place: Place, codes: list[int], code: int, good: bool
) -> None:
    answering(place, "{'rows': 1}", f"sys.exit({code})")
    outcome = place.run(success=Success(exit_codes=codes))
    if good:
        assert result_of(outcome) == {"rows": 1}
    else:
        assert missed(outcome) == [{"check": "exit_codes", "expected": codes, "found": code}]


@pytest.mark.parametrize(("codes", "code", "said"), [([3], 3, "INVALID_RESPONSE"), ([3], 4, "NONZERO_EXIT")])
def test_an_invalid_answer_is_no_success_whatever_the_exit_code(
    place: Place, codes: list[int], code: int, said: str
) -> None:
    invoke_file(place.target, f"print('no JSON'); sys.exit({code})")
    assert error_of(place.run(success=Success(exit_codes=codes)))[0] == said


def test_the_error_that_a_target_answers_is_the_error_and_nothing_else_is_checked(place: Place) -> None:
    answer = '{"status": "error", "error": {"code": "NO_DATA", "message": "none"}}'
    invoke_file(place.target, f"print('{answer}'); sys.exit(3)")
    outcome = place.run(success=Success(exit_codes=[3], stdout_matches="never"))
    assert (error_of(outcome)[0], outcome.from_target) == ("NO_DATA", True)


# --- expressions ---


@pytest.mark.parametrize(
    ("printed", "spec"),
    [
        ("one\\nDone: 12 rows\\nend", Success(stdout_matches=r"^Done: \d+ rows$")),
        ("año", Success(stdout_matches="^a.o$")),
        ("all well", Success(stdout_not_matches="(?i)ERROR")),
        ("", Success(stdout_matches="^$", stdout_not_matches=".")),
        ("a\\nb", Success(stdout_not_matches="a.b")),
    ],
)
def test_an_expression_that_is_found_or_not_as_it_should_is_a_success(
    place: Place, printed: str, spec: Success
) -> None:
    outcome = place.run(python(f"sys.stdout.buffer.write('{printed}'.encode())"), success=spec)
    assert result_of(outcome)["exit_code"] == 0
    assert_only_the_three_files_are_left(place)


def test_expressions_that_are_missed_are_told_with_what_was_there(place: Place) -> None:
    spec = Success(stdout_matches="^bye", stdout_not_matches="l+")
    assert missed(place.run(python("print('x' * 1000 + 'hello')"), success=spec)) == [
        {"check": "stdout_matches", "expected": "^bye", "stdout_bytes": 1006, "found": "x" * 194 + "hello\n"},
        {"check": "stdout_not_matches", "expected": "l+", "stdout_bytes": 1006, "found": "ll"},
    ]
    assert_only_the_three_files_are_left(place)


def test_bytes_that_are_no_text_and_nuls_do_no_harm(place: Place) -> None:
    command = python(r"sys.stdout.buffer.write(b'\xff\x00\xed\xa0\x80 a')")
    (entry,) = missed(place.run(command, success=Success(stdout_matches="b")))
    assert entry["found"] == "\ufffd" * 5 + " a"


def test_of_an_invoke_its_answer_is_searched_as_it_was_printed(place: Place) -> None:
    answering(place, "{'summary': 'año'}")
    spec = Success(stdout_matches=r'"status": "ok".*a\\u00f1o', stdout_not_matches="año")
    assert result_of(place.run(success=spec)) == {"summary": "año"}


@pytest.mark.process
def test_of_a_long_output_the_whole_lines_at_both_ends_are_searched(place: Place) -> None:
    line = "x" * 99
    script = f"print('first'); [print('{line}') for _ in range(30000)]; print('middle'); "
    script += f"[print('{line}') for _ in range(30000)]; print('last')"
    found = Success(stdout_matches=r"\Afirst$", stdout_not_matches="^middle$|^x{1,98}$")
    assert result_of(place.run(python(script), success=found))["stdout_truncated"]
    (entry,) = missed(place.run(python(script), success=Success(stdout_not_matches="^last$"), attempt=2))
    assert (entry["found"], entry["stdout_bytes"]) == ("last", 6_000_018)


@pytest.mark.process
def test_an_endless_expression_counts_as_missed_after_a_while(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success, "CPU_SEC", 1)
    spec = Success(stdout_matches="a", stdout_not_matches=ENDLESS, json_schema={})
    assert missed(place.run(python(f"print('{ENDLESS_TEXT}')"), success=spec)) == [
        {
            "check": "stdout_not_matches",
            "expected": ENDLESS,
            "found": "not decided: it took more than 1 s of processor time",
        }
    ]
    assert_only_the_three_files_are_left(place)


@pytest.mark.process
def test_an_endless_schema_counts_as_missed_after_a_while(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success, "CPU_SEC", 1)
    answering(place, f"{{'text': '{ENDLESS_TEXT}'}}")
    (entry,) = missed(place.run(success=Success(json_schema={"properties": {"text": {"pattern": ENDLESS}}})))
    assert entry["found"].startswith("not decided: it took more than 1 s")


def inspected(place: Place) -> bool:
    """Whether a check goes on."""
    return (place.run_folder / "attempt-1.success.stdout").exists()


def nothing_lives(place: Place) -> bool:
    return find_marked(marks(place.run_id, str(place.run_folder))) == []


def test_a_check_on_a_busy_machine_has_a_limit_of_elapsed_time(place: Place) -> None:
    def beat() -> None:
        if inspected(place):
            place.clock.skip(20)

    outcome = place.invoke(endless(place), beat=beat)
    assert missed(outcome)[0]["found"] == "not decided: it took more than 30 s"
    assert nothing_lives(place)


def test_a_stop_ends_a_running_check_and_the_attempt_is_stopped(place: Place) -> None:
    stop = Stop()

    def beat() -> None:
        if inspected(place):
            stop.set("SIGINT")

    try:
        outcome = place.invoke(endless(place), stop=stop, beat=beat)
    finally:
        stop.close()
    assert (outcome.stopped, error_of(outcome)[0]) == (True, "CANCELLED")
    assert nothing_lives(place)
    assert_only_the_three_files_are_left(place)


def test_the_lease_is_renewed_during_a_check_and_its_loss_ends_it(place: Place) -> None:
    class Lost(Exception):
        pass

    def beat() -> None:
        if inspected(place):
            raise Lost

    with pytest.raises(Lost):
        place.invoke(endless(place), beat=beat)
    assert nothing_lives(place)


def test_a_check_carries_the_marks_of_its_run_and_sees_nothing_else(place: Place) -> None:
    environments: list[bytes] = []

    def beat() -> None:
        found: list[ProcessId] = find_marked(marks(place.run_id, str(place.run_folder)))
        if inspected(place) and found:
            environments.append(Path(f"/proc/{found[0].pid}/environ").read_bytes())
            place.clock.skip(100)

    place.variables["SECRET"] = "x"
    place.invoke(endless(place), beat=beat)
    names = {line.split(b"=")[0] for line in environments[0].split(b"\0") if line}
    assert names == {b"PURUTO_CRON_RUN_ID", b"PURUTO_CRON_RUN_FOLDER"}


# --- files ---


@pytest.mark.parametrize(
    "script",
    [
        "open('out', 'w').close()",
        "open('out', 'w').write('new')",
        "open('new', 'w').write('old'); os.utime('new', ns=(5, 5)); os.replace('new', 'out')",
        "os.utime('out', ns=(6, 6))",
        "os.rename('out', 'was'); os.symlink('was', 'link'); open('target', 'w').close(); os.symlink('target', 'out')",
    ],
    ids=["emptied", "written", "replaced by one that looks the same", "touched", "a link to another"],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_a_file_that_changed_is_a_success(place: Place, script: str, absolute: bool) -> None:
    path = place.target / "out"
    path.write_text("old")
    os.utime(path, ns=(5, 5))
    spec = Success(file_changed=str(path) if absolute else "out")
    assert result_of(place.run(python(script), success=spec))["exit_code"] == 0


def test_a_new_file_in_a_new_folder_is_a_success_and_may_lie_outside_the_target(place: Place) -> None:
    spec = Success(file_changed="../elsewhere/out")
    script = "os.mkdir('../elsewhere'); open('../elsewhere/out', 'w').close()"
    assert result_of(place.run(python(script), success=spec))["exit_code"] == 0


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("pass", "unchanged by the attempt: 3 bytes, same time of change"),
        ("open('out').read()", "unchanged by the attempt: 3 bytes, same time of change"),
        ("os.remove('out')", "it can't be accessed: No such file or directory"),
        ("os.remove('out'); os.mkdir('out')", "not a regular file"),
        ("os.remove('out'); os.mkfifo('out')", "not a regular file"),
        ("os.remove('out'); os.symlink('out', 'out')", "it can't be accessed: Too many levels of symbolic links"),
    ],
)
def test_a_file_that_did_not_change_is_missed(place: Place, script: str, found: str) -> None:
    path = place.target / "out"
    path.write_text("old")
    os.utime(path, ns=(5, 5))
    (entry,) = missed(place.run(python(script), success=Success(file_changed="out")))
    assert entry == {"check": "file_changed", "expected": "out", "found": found}


def test_a_folder_that_becomes_a_file_is_a_new_file(place: Place) -> None:
    (place.target / "out").mkdir()
    outcome = place.run(python("os.rmdir('out'); open('out', 'w').close()"), success=Success(file_changed="out"))
    assert result_of(outcome)["exit_code"] == 0


def test_a_file_of_the_last_attempt_does_not_count_for_this_one(place: Place) -> None:
    spec = Success(file_changed="out")
    command = python("os.path.exists('out') or open('out', 'w').close()")
    assert result_of(place.run(command, success=spec))["exit_code"] == 0
    assert [entry["check"] for entry in missed(place.run(command, success=spec, attempt=2))] == ["file_changed"]


# --- schemas ---

ROWS = {"type": "object", "required": ["rows"], "properties": {"rows": {"type": "integer", "minimum": 1}}}


@pytest.mark.process
def test_stdout_that_fits_the_schema_is_a_success(place: Place) -> None:
    result_of(place.run(python("print('\\ufeff{\"rows\": 2}\\n')"), success=Success(json_schema=ROWS)))
    assert_only_the_three_files_are_left(place)


@pytest.mark.process
@pytest.mark.parametrize(
    ("printed", "path", "expected", "found"),
    [
        ('{"rows": 0}', "$.rows", "minimum: 1", "0 is less than the minimum of 1"),
        ('{"rows": "2"}', "$.rows", 'type: "integer"', "'2' is not of type 'integer'"),
        ("{}", "$", 'required: ["rows"]', "'rows' is a required property"),
        ("[]", "$", 'type: "object"', "[] is not of type 'object'"),
    ],
)
def test_a_mismatch_is_reported_with_its_path(place: Place, printed: str, path: str, expected: str, found: str) -> None:
    outcome = place.run(python(f"print({printed!r})"), success=Success(json_schema=ROWS))
    assert missed(outcome) == [{"check": "json_schema", "path": path, "expected": expected, "found": found}]


@pytest.mark.parametrize("printed", ["", "done", '{"rows": 1} {"rows": 2}', '{"rows": NaN}', "[" * 100 + "]" * 100])
def test_stdout_that_is_not_one_json_value_is_missed(place: Place, printed: str) -> None:
    (entry,) = missed(place.run(python(f"print({printed!r})"), success=Success(json_schema=ROWS)))
    assert entry["expected"] == "one JSON value"
    assert entry["found"].startswith("not JSON: ")


def test_stdout_that_is_too_long_for_a_schema_is_missed(place: Place) -> None:
    script = f"print('\"' + 'x' * {success_child.LONGEST_JSON} + '\"')"
    (entry,) = missed(place.run(python(script), success=Success(json_schema={})))
    assert (
        entry["found"]
        == f"{success_child.LONGEST_JSON + 3} bytes; at most {success_child.LONGEST_JSON} are parsed as JSON"
    )


@pytest.mark.process
def test_of_many_mismatches_a_few_are_reported_in_short(place: Place) -> None:
    spec = Success(json_schema={"items": {"type": "integer"}})
    found = missed(place.run(python("import json; print(json.dumps(['x' * 5000] * 100))"), success=spec))
    assert [entry["path"] for entry in found] == [f"$[{n}]" for n in range(5)]
    assert all(len(entry["found"]) <= 200 for entry in found)


@pytest.mark.process
@pytest.mark.parametrize(("rows", "good"), [("1", True), ("0", False), ("'1'", False)])
def test_of_an_invoke_the_result_is_held_against_the_schema(place: Place, rows: str, good: bool) -> None:
    answering(place, f"{{'rows': {rows}}}")
    outcome = place.run(success=Success(json_schema=ROWS))
    assert (outcome.response.error is None) == good
    if not good:
        assert missed(outcome)[0]["path"] == "$.rows"


@pytest.mark.process
def test_a_result_that_is_too_large_to_keep_is_still_checked(place: Place) -> None:
    answering(place, "{'rows': 0, 'text': 'x' * 200000}")
    assert missed(place.run(success=Success(json_schema=ROWS)))[0]["path"] == "$.rows"


@pytest.mark.process
def test_an_empty_result_is_an_empty_object(place: Place) -> None:
    answering(place, "None")
    spec = Success(json_schema={"type": "object", "maxProperties": 0})
    assert result_of(place.run(success=spec, allow_empty_result=True)) == {}


@pytest.mark.process
def test_an_older_draft_that_the_schema_names_is_followed(place: Place) -> None:
    draft = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True}
    assert missed(place.run(python("print(1)"), success=Success(json_schema=draft)))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.process
def test_a_schema_elsewhere_is_never_fetched(place: Place, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    for number, target in enumerate([f"http://127.0.0.1:{port}/x.json", f"file://{__file__}", "#/$defs/none"]):
        outcome = place.run(python("print(1)"), success=Success(json_schema={"$ref": target}), attempt=number + 1)
        (entry,) = missed(outcome)
        assert entry["found"].startswith("remote references are not fetched: ")
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.process
def test_a_schema_that_refers_to_itself_without_end_is_reported(place: Place) -> None:
    (entry,) = missed(place.run(python("print(1)"), success=Success(json_schema={"$ref": "#"})))
    assert entry["found"] == "it refers to itself without end"


# --- all together, and what goes wrong with the check itself ---


@pytest.mark.process
def test_every_check_that_is_missed_is_told_at_once(place: Place) -> None:
    spec = Success(
        exit_codes=[0, 3], stdout_matches="x", stdout_not_matches="y", file_changed="out", json_schema={"type": "null"}
    )
    found = missed(place.run(python("print('\"y\"'); sys.exit(1)"), success=spec))
    assert [entry["check"] for entry in found] == [
        "exit_codes", "file_changed", "stdout_matches", "stdout_not_matches", "json_schema",
    ]  # fmt: skip


def test_an_invalid_stored_expression_is_missed_with_the_reason(place: Place) -> None:
    (entry,) = missed(place.run(python("pass"), success=Success(stdout_matches="(")))
    assert "unterminated subpattern" in entry["found"]


def test_output_that_was_replaced_is_not_followed(place: Place) -> None:
    script = "path = os.environ['PURUTO_CRON_RUN_FOLDER'] + '/attempt-1.stdout'; os.remove(path); "
    script += "os.symlink('/etc/passwd', path)"
    outcome = place.run(python(script), success=Success(stdout_matches="root"))
    assert error_of(outcome)[0] == "IPC_ERROR"


def test_an_existing_input_file_of_the_check_is_an_error_of_the_attempt(place: Place) -> None:
    script = "open(os.environ['PURUTO_CRON_RUN_FOLDER'] + '/attempt-1.success.json', 'w').close()"
    code, message, _ = error_of(place.run(python(script), success=Success(stdout_matches="x")))
    assert code == "IPC_ERROR"
    assert "attempt-1.success.json can't be written" in message


def test_jobs_without_such_checks_start_no_process_for_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success, "_PROGRAM", Path("/nowhere.py"))
    spec = Success(exit_codes=[0], file_changed="out")
    assert result_of(place.run(python("open('out', 'w').close()"), success=spec))["exit_code"] == 0


def test_the_limits_hold_in_the_checking_process_itself(place: Place) -> None:
    script = f"sys.path.insert(0, {str(Path(success_child.__file__).parent)!r}); import success_child, resource as r; "
    script += "success_child._limit(7); print(*map(r.getrlimit, (r.RLIMIT_CPU, r.RLIMIT_AS, r.RLIMIT_CORE)))"
    assert (
        result_of(place.run(python(script)))["stdout"]
        == f"(7, 8) ({success_child.MEMORY}, {success_child.MEMORY}) (0, 0)\n"
    )
