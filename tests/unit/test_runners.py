from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.invocation import Invocation
from core.invocation_errors import RunnerNotFound
from core.kinds import RUNNERS
from invocation import runners
from invocation.runners.base import Host, Runner, to_text
from jobs.jobs_file import json_schema
from tests.support_invocation import request

NOWHERE = Path("/nonexistent/puruto-x")
HOST = Host({})


def invocation(**changes: Any) -> Invocation:
    return replace(Invocation(request(), attempt=1, run_folder="/r", run_id="r"), **changes)


def test_a_command_is_tried_before_anything_else() -> None:
    runner = runners.choose(invocation(command=("true",)), NOWHERE, HOST)
    assert type(runner).__name__ == "CommandRunner"


def test_without_command_and_invoke_file_the_error_says_what_the_target_needs() -> None:
    with pytest.raises(RunnerNotFound, match="puruto-x") as caught:
        runners.choose(invocation(), NOWHERE, HOST)
    assert caught.value.code == "RUNNER_NOT_FOUND"
    assert str(NOWHERE) in caught.value.hint
    assert "invoke" in caught.value.hint


def test_a_named_runner_is_taken_without_trying_others() -> None:
    runner = runners.choose(invocation(command=("true",), runner="invoke"), NOWHERE, HOST)
    assert type(runner).__name__ == "InvokeRunner"


def test_a_runner_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(RunnerNotFound, match="no runner magic") as caught:
        runners.choose(invocation(runner="magic"), NOWHERE, HOST)
    assert "command, invoke" in caught.value.hint


def test_a_named_runner_says_what_is_missing() -> None:
    with pytest.raises(RunnerNotFound, match="has no command"):
        runners.choose(invocation(runner="command"), NOWHERE, HOST).launch(invocation(runner="command"), NOWHERE, HOST)
    with pytest.raises(RunnerNotFound, match="no file invoke"):
        runners.choose(invocation(runner="invoke"), NOWHERE, HOST).launch(invocation(runner="invoke"), NOWHERE, HOST)


@pytest.mark.parametrize("name", RUNNERS)
def test_every_runner_of_the_dictionary_can_be_loaded_and_named_by_a_job(name: str) -> None:
    assert isinstance(runners.named(name), Runner)
    assert runners.named(name).name == name, "its name is that of its file"
    allowed = json_schema()["$defs"]["Job"]["properties"]["runner"]["anyOf"][0]["enum"]
    assert name in allowed


def test_a_cut_leaves_out_the_character_that_it_goes_through() -> None:
    data = "aé".encode()
    assert to_text(data[:2], 100, whole=False) == ("a", False)
    assert to_text(data, 100, whole=True) == ("aé", True)
    assert to_text(data[:2], 100, whole=True) == ("a\ufffd", True)


def test_bytes_that_grow_when_replaced_still_fit_the_limit() -> None:
    text, complete = to_text(b"\xff" * 90, 100, whole=True)
    assert text == "\ufffd" * 33
    assert not complete


@given(st.binary(max_size=300), st.integers(0, 300), st.booleans())
def test_text_for_results_is_bounded_utf8_without_nuls(data: bytes, limit: int, whole: bool) -> None:
    text, complete = to_text(data, limit, whole=whole)
    assert len(text.encode("utf-8")) <= limit
    assert not re.search("[\0\ud800-\udfff]", text)
    if complete:
        assert text == data.decode("utf-8", "replace").replace("\0", "\ufffd")
