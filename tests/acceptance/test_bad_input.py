"""Bad input ends as one clear JSON error that names the place, with nothing changed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import (
    bad_input_cases_agents,
    bad_input_cases_database,
    bad_input_cases_fields,
    bad_input_cases_file,
    bad_input_cases_schedules,
    bad_input_cases_settings,
    bad_input_cases_tick,
    bad_input_cases_words,
)
from tests.acceptance.bad_input_cases import Case
from tests.acceptance.bad_input_cases_stage import Outcome, Stage, Word, can_be_refused, copy_of, make_template

CASES: list[Case] = [
    *bad_input_cases_file.CASES,
    *bad_input_cases_fields.CASES,
    *bad_input_cases_agents.CASES,
    *bad_input_cases_schedules.CASES,
    *bad_input_cases_settings.CASES,
    *bad_input_cases_words.CASES,
    *bad_input_cases_database.CASES,
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A good copy that no case writes to."""
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def stage(template: Stage, tmp_path: Path) -> Stage:
    """A copy for one case."""
    return copy_of(template, tmp_path)


def _marked(case: Case) -> object:
    return pytest.param(case, id=case.name.replace(" ", "-"))


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_bad_input_ends_as_one_clear_error_with_nothing_changed(case: Case, stage: Stage) -> None:
    case.prepare(stage)
    before = stage.snapshot()
    with case.meanwhile(stage):
        outcome = _tried(case, stage, *case.words)
    assert stage.snapshot() == before
    assert outcome.err == b""
    assert outcome.code == case.exit_code, outcome.out
    answer = outcome.object()
    assert set(answer) == {"status", "error"}
    assert answer["status"] == "error"
    _assert_names_the_place(case, answer["error"])


def test_the_table_is_as_long_as_promised() -> None:
    names = {case.name for case in CASES if not case.process}
    assert len(names) >= 200
    assert sum(case.process for case in CASES) >= 60


@pytest.mark.parametrize("case", [_marked(case) for case in bad_input_cases_tick.CASES])
def test_a_tick_tells_of_a_broken_jobs_file_and_goes_on_with_the_last_good_jobs(case: Case, stage: Stage) -> None:
    definitions = "SELECT job_id, enabled, schedule, prompt, timeout_sec, definition_json, removed_at FROM jobs"
    good = stage.rows(definitions)
    stage.sql("UPDATE jobs SET next_run_at = iif(job_id = 'backup', '2026-02-25T20:00:00+00:00', NULL)")
    case.prepare(stage)
    broken = stage.snapshot().get(".jobs.json")

    first = _tried(case, stage, "tick", "--quiet")
    assert (first.code, first.err) == (0, b""), first
    answer = first.object()
    assert answer["status"] == "ok"
    assert answer["due_jobs"] == ["backup"]
    assert [(result["job_id"], result["status"]) for result in answer["results"]] == [("backup", "ok")]
    assert answer["sync"]["status"] == "error"
    _assert_names_the_place(case, answer["sync"]["error"])
    assert stage.rows(definitions) == good
    assert stage.snapshot().get(".jobs.json") == broken

    status = _tried(case, stage, "status").object()
    assert status["sync"]["in_step"] is False
    _assert_names_the_place(case, status["sync"]["error"]["error"])

    again = _tried(case, stage, "tick", "--quiet").object()
    assert (again["due_jobs"], again["sync"]["error"]["code"]) == ([], case.code)


def test_a_quiet_tick_is_silent_again_when_the_jobs_file_is_mended(stage: Stage) -> None:
    good = stage.jobs_file.read_bytes()
    stage.write_jobs(b"{")
    assert stage.here("tick", "--quiet").object()["sync"]["error"]["code"] == "JOBS_FILE_NOT_JSON"
    stage.write_jobs(good)
    assert stage.here("tick", "--quiet").out == b""
    assert stage.here("status").object()["sync"]["error"] is None


def test_run_now_goes_on_with_the_last_good_definition_and_tells_of_a_broken_jobs_file(stage: Stage) -> None:
    stage.write_jobs(b'{"jobs": [\n}')
    outcome = stage.here("run-now", "backup")
    assert outcome.code == 0
    answer = outcome.object()
    assert answer["status"] == "ok"
    assert answer["sync"]["error"]["details"]["line"] == 2


def _tried(case: Case, stage: Stage, *words: Word) -> Outcome:
    if case.plain_user and not can_be_refused():
        pytest.skip("this user can't be refused anything here")
    run = functools.partial(stage.process, plain_user=case.plain_user) if case.process else stage.here
    outcome = run(*words, env=case.env)
    assert b"Traceback" not in outcome.out + outcome.err
    return outcome


def _assert_names_the_place(case: Case, error: dict[str, Any]) -> None:
    assert set(error) == {"code", "message", "details"}
    text = "\n".join(["", *_spoken("message", error["message"]), *_spoken("details", error["details"]), ""])
    assert error["code"] == case.code, text
    missing = [name for name in case.names if name not in text]
    assert not missing, text
    if case.problems:
        told = [(problem["code"], problem["path"]) for problem in error["details"]["problems"]]
        assert (told, error["details"]["problem_count"]) == (list(case.problems), len(case.problems)), text


def _spoken(key: str, value: object) -> list[str]:
    """What an error says, leaf by leaf, as `key: value`."""
    if isinstance(value, dict):
        return [line for name, inner in value.items() for line in _spoken(name, inner)]
    if isinstance(value, list):
        return [line for inner in value for line in _spoken(key, inner)]
    return [f"{key}: {value}"]
