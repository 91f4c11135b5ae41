"""What people get of a heartbeat: its last report, and never the marker that ended it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.invocation import AttemptOutcome
from core.job import Heartbeat
from execution.attempt import reply_of, without_marker
from tests.fakes import answered, failed, make_bench, make_run


def said(text: str) -> AttemptOutcome:
    return answered({"agent": "claude", "text": text, "session_id": "s"})


def slot(*outcomes: AttemptOutcome, **fields: Any) -> Any:
    bench = make_bench(*outcomes)
    bench.run(make_run(heartbeat=Heartbeat(max_iterations=9), session_mode="ephemeral_with_summary", **fields))
    return bench


@pytest.mark.parametrize(
    "end",
    [
        "HEARTBEAT_SLEEP",
        "**HEARTBEAT_SLEEP**",
        "```\nHEARTBEAT_SLEEP\n```",
        '{"heartbeat": "sleep"}',
        '{"heartbeat": "sleep", "report": ""}',
    ],
)
def test_the_last_report_is_told_and_kept_and_the_marker_reaches_nobody(end: str) -> None:
    bench = slot(said("two bills came"), said("one was paid"), said(end))
    told = bench.event["result"]
    assert told["response"]["result"]["text"] == "one was paid"
    assert [entry["text"] for entry in told["heartbeat"]["iterations"]] == ["two bills came", "one was paid", ""]
    assert told["heartbeat"]["ended_by"] == "sleep"
    assert bench.verdict.session.summary == "one was paid"
    for shown in (bench.event, bench.verdict.result):
        assert "HEARTBEAT_SLEEP" not in json.dumps(shown)
        assert '"sleep"' not in json.dumps(shown["response"] if "response" in shown else shown["result"]["response"])


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("done it\nHEARTBEAT_SLEEP", "done it"),
        ("done it\n\n```\nHEARTBEAT_SLEEP\n```\n", "done it"),
        ("All is calm, I paid it. HEARTBEAT_SLEEP", "All is calm, I paid it."),
        ('{"heartbeat": "sleep", "report": "done it"}', "done it"),
        ('{"heartbeat": "sleep", "paid": 2, "report": "done it"}', '{"paid": 2, "report": "done it"}'),
    ],
)
def test_a_report_with_the_marker_behind_it_is_told_without_it(answer: str, text: str) -> None:
    bench = slot(said("before"), said(answer))
    told = bench.event["result"]
    assert told["heartbeat"]["ended_by"] == "sleep"
    assert told["response"]["result"]["text"] == text
    assert told["heartbeat"]["iterations"][-1]["text"] == text


@pytest.mark.parametrize("key", ["stdout", "summary"])
def test_programs_and_invokes_are_cleaned_like_agents(key: str) -> None:
    bench = slot(answered({key: "one"}), answered({key: "two\nHEARTBEAT_SLEEP\n"}))
    assert bench.event["result"]["response"]["result"] == {key: "two"}
    bench = slot(answered({key: "one"}), answered({key: "HEARTBEAT_SLEEP"}))
    assert bench.event["result"]["response"]["result"] == {key: "one"}


def test_an_invoke_that_says_sleep_as_an_object_keeps_its_report() -> None:
    bench = slot(answered({"summary": "one", "heartbeat": "sleep", "count": 2}))
    assert bench.event["result"]["response"]["result"] == {"summary": "one", "count": 2}


def test_a_slot_of_nothing_but_a_marker_is_quiet_and_shows_none() -> None:
    bench = slot(said("HEARTBEAT_SLEEP"))
    assert bench.verdict.event is None
    assert bench.verdict.result["response"]["result"]["text"] == ""
    assert "HEARTBEAT_SLEEP" not in json.dumps(bench.verdict.result)


def test_a_call_that_fails_after_a_report_is_told_with_the_reports_before_it() -> None:
    error = slot(said("two bills came"), failed("AGENT_FAILED")).event["error"]
    assert [entry.get("text") for entry in error["details"]["heartbeat"]["iterations"]] == ["two bills came", None]


@pytest.mark.parametrize("text", ["the word HEARTBEAT_SLEEP ends a slot", "NO_HEARTBEAT_SLEEP", "HEARTBEAT_SLEEPY"])
def test_a_text_that_only_mentions_the_marker_goes_on(text: str) -> None:
    assert not reply_of(said(text)).sleeps
    assert without_marker(text) == text
