"""When an agent's quota is renewed, and which kind of failure a message tells of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import utc_text
from core.invocation_errors import AgentFailed
from execution.retries import quota_blocks
from invocation.refusals import kind_of
from invocation.reset_times import reset_time

NOW = datetime(2026, 2, 25, 20, 0, 30, tzinfo=UTC)
MADRID = ZoneInfo("Europe/Madrid")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("resets 6:20pm (Europe/Berlin)", "2026-02-26T17:20:00"),
        ("resets 9pm", "2026-02-25T20:00:00"),
        ("resets 3am", "2026-02-26T02:00:00"),
        ("resets 12am (UTC)", "2026-02-26T00:00:00"),
        ("Your limit will reset at 1pm (Etc/GMT+5).", "2026-02-26T18:00:00"),
        ("resets Mar 5, 10:30am (America/Port-au-Prince)", "2026-03-05T15:30:00"),
        ("resets Mar 5 at 10am", "2026-03-05T09:00:00"),
        ("resets Dec 2, 7pm (Europe/Moscow)", "2026-12-02T16:00:00"),
        ("resets Jan 2 at 7am", "2027-01-02T06:00:00"),
        ("resets Monday 9am", "2026-03-02T08:00:00"),
        ("resets tomorrow at 9am", "2026-02-26T08:00:00"),
        ("try again at Jul 5th, 2026 8:19\u202fPM.", "2026-07-05T18:19:00"),
        ("try again after July 3, 2026 at 2:45 PM", "2026-07-03T12:45:00"),
        ("will reset on 5 March at 10:00", "2026-03-05T09:00:00"),
        ("resets at 15:00 UTC", "2026-02-26T15:00:00"),
        ("usage limit reached|1796076000", "2026-11-30T22:00:00"),
        ("usage limit reached|1796076000000", "2026-11-30T22:00:00"),
        ('"resetsAt": 1796076000', "2026-11-30T22:00:00"),
        ('"resets_in_seconds": 60', "2026-02-25T20:01:30"),
        ("try again in 2h", "2026-02-25T22:00:30"),
        ("try again in 5 days 22 hours 11 minutes.", "2026-03-03T18:11:30"),
        ("try again in 1 hour and 5 minutes", "2026-02-25T21:05:30"),
        ("Your quota will reset after 3h20m5s.", "2026-02-25T23:20:35"),
        ('"retryDelay": "34.074s"', "2026-02-25T20:01:05"),
        ("quotaResetDelay: '539.4ms'", "2026-02-25T20:00:31"),
        ("retry-after: 30", "2026-02-25T20:01:00"),
        ("quotaResetTimeStamp: '2026-02-26T07:00:00Z'", "2026-02-26T07:00:00"),
        ("You will regain access on 2026-03-01 at 00:00 UTC.", "2026-03-01T00:00:00"),
        ("try again later", ""),
        ("You've hit your limit", ""),
        ("resets 25:99pm", ""),
        ("resets Feb 30 at 1am", ""),
        ("resets 3am (Nowhere/Land)", ""),
        ("resets 3am PST", ""),
        ("try again in 99999999999 days", ""),
        ("reset your password on 3 devices", ""),
    ],
)
def test_an_instant_is_read_as_people_write_it(message: str, expected: str) -> None:
    found = reset_time(f"You've hit your limit. It {message}", NOW, MADRID)
    assert ("" if found is None else utc_text(found)) == (f"{expected}+00:00" if expected else "")


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_text_makes_it_fail(text: str) -> None:
    for message in (text, f"resets {text}", f"try again in {text}", f"limit reached|{text}"):
        found = reset_time(message, NOW, MADRID)
        assert found is None or abs(found - NOW) <= timedelta(days=401)
        assert issubclass(kind_of(message, None, is_own=True), AgentFailed)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("OAuth access token has expired. Re-authenticate to continue.", "AGENT_REFUSED"),
        ("This organization has been disabled.", "AGENT_REFUSED"),
        ("Your account does not have access to Claude Code", "AGENT_REFUSED"),
        ("Could not load the default credentials.", "AGENT_REFUSED"),
        ("The security token included in the request is expired", "AGENT_REFUSED"),
        ("you must specify the GEMINI_API_KEY environment variable", "AGENT_REFUSED"),
        ("API Error: 400 Your credit balance is too low to access the API", "AGENT_QUOTA"),
        ("402 Payment Required", "AGENT_QUOTA"),
        ("insufficient_quota", "AGENT_QUOTA"),
        ("You've reached your weekly usage limit", "AGENT_QUOTA"),
        ("Your workspace is out of credits.", "AGENT_QUOTA"),
        ("This request would exceed your account's rate limit.", "AGENT_OVERLOADED"),
        ("Rate limit reached for the model. Please try again later.", "AGENT_OVERLOADED"),
        ("Selected model is at capacity.", "AGENT_OVERLOADED"),
        ("connect ECONNREFUSED http://h:42900/401/529", "AGENT_FAILED"),
        ("You've reached the maximum context limit", "AGENT_FAILED"),
        ("model id not found", "AGENT_REQUEST_INVALID"),
        ("Prompt is too long", "AGENT_REQUEST_INVALID"),
        ("unexpected status 404 Not Found: http://h:42900/401/529", "AGENT_REQUEST_INVALID"),
    ],
)
def test_the_kind_of_a_failure_is_in_its_words(message: str, code: str) -> None:
    assert kind_of(message, None, is_own=True).code == code


@pytest.mark.parametrize(
    ("resets_in", "wait", "blocks"), [(30, 30, False), (31, 30, True), (-10, 30, False), (-3_600, 30, True)]
)
def test_a_retry_waits_for_a_renewal_that_comes_in_time(resets_in: int, wait: int, blocks: bool) -> None:
    details = {"resets_at": utc_text(NOW + timedelta(seconds=resets_in))}
    assert (quota_blocks(details, NOW, wait) is not None) == blocks
    assert quota_blocks({}, NOW, wait) is not None
