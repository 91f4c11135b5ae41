"""The values that packages pass to each other."""

from __future__ import annotations

import dataclasses
import enum
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import boundary, clock, invocation, job, run
from core.boundary import Failure
from core.clock import from_text, utc_text
from core.invocation import InvocationRequest, InvocationResult
from core.job import NAME_PATTERN, Job
from core.run import RunStatus, Trigger
from tests.workspace import PROJECT


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 2, 25, 20, 0, tzinfo=UTC), "2026-02-25T20:00:00+00:00"),
        (datetime(2026, 2, 25, 20, 0, 0, 999_999, tzinfo=UTC), "2026-02-25T20:00:00+00:00"),
        (datetime(2026, 2, 25, 21, 0, tzinfo=timezone(timedelta(hours=1))), "2026-02-25T20:00:00+00:00"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00+00:00"),
        (datetime(999, 1, 1, tzinfo=UTC), "0999-01-01T00:00:00+00:00"),
    ],
)
def test_an_instant_is_written_in_utc_with_whole_seconds(instant: datetime, text: str) -> None:
    assert utc_text(instant) == text


instants = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis wants them without a zone
    max_value=datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)


@given(instants, instants)
def test_text_order_is_time_order(one: datetime, other: datetime) -> None:
    earlier, later = sorted([one, other])
    assert utc_text(earlier) <= utc_text(later)
    assert len(utc_text(one)) == 25


@given(instants)
def test_what_is_written_reads_back_to_the_second(instant: datetime) -> None:
    back = from_text(utc_text(instant))
    assert back == instant.astimezone(UTC).replace(microsecond=0)
    assert back.tzinfo is UTC


@pytest.mark.parametrize("text", ["2026-02-25 12:00:00", "2026-02-25T12:00:00", "2026-02-25"])
def test_a_text_without_an_offset_is_not_an_instant(text: str) -> None:
    with pytest.raises(ValueError, match="offset"):
        from_text(text)


def test_the_statuses_and_triggers_are_the_ones_that_the_database_allows() -> None:
    # The newest migration that makes the table says what holds.
    text = (PROJECT / "store" / "sql" / "0002_trust.sql").read_text(encoding="utf-8")
    for kind, column in ((RunStatus, "status"), (Trigger, "trigger")):
        found = re.search(rf"{column} IN\s*\(([^)]*)\)", text)
        assert found is not None
        assert set(re.findall(r"'(\w+)'", found[1])) == {str(value) for value in kind}


def _shared() -> dict[str, object]:
    """The values that packages pass to each other, by name."""
    return {name: kind for module in (boundary, clock, invocation, job, run) for name, kind in vars(module).items()}


def _dataclasses() -> list[Any]:
    return [kind for kind in _shared().values() if dataclasses.is_dataclass(kind) and isinstance(kind, type)]


@pytest.mark.parametrize("kind", _dataclasses(), ids=lambda kind: kind.__name__)
def test_values_that_are_passed_on_can_not_be_changed(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen


def test_the_enums_are_text() -> None:
    for kind in _shared().values():
        if isinstance(kind, type) and issubclass(kind, enum.Enum) and kind is not enum.StrEnum:
            assert issubclass(kind, str)


def test_a_job_needs_three_fields_and_its_defaults_are_the_contracts() -> None:
    fields = {field.name: field for field in dataclasses.fields(Job)}
    needed = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    assert needed == ["job_id", "puruto_target", "schedule"]
    job = Job(job_id="a", puruto_target="b", schedule="* * * * *", prompt="c")
    assert (job.enabled, job.notify_channel, job.timeout_sec, job.max_retries, job.retry_backoff_sec) == (
        True,
        "telegram",
        120,
        0,
        30,
    )


def test_every_field_of_a_job_can_be_resolved_by_its_annotation() -> None:
    hints = get_type_hints(Job, include_extras=True)
    assert set(hints) >= {field.name for field in dataclasses.fields(Job)}


@pytest.mark.parametrize("name", ["a", "A9", "puruto-data", "x.y_z-1", "0"])
def test_a_name_is_letters_digits_dots_dashes_and_underscores(name: str) -> None:
    assert re.search(NAME_PATTERN, name)


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "_a", ".hidden", "a/b", "a b", "../x", "ñ", "a\x00", "a\\b"])
def test_a_name_is_never_a_path_nor_hidden_nor_an_option(name: str) -> None:
    assert not re.search(NAME_PATTERN, name)


def test_a_failure_is_written_with_its_three_keys() -> None:
    assert Failure("X", "why").as_dict() == {"code": "X", "message": "why", "details": {}}


def test_the_result_of_an_invocation_has_either_a_result_or_an_error() -> None:
    good = InvocationResult("req-1", "corr-1", 824, result={"a": 1})
    bad = InvocationResult("req-1", "corr-1", 824, error=Failure("TIMEOUT", "too long", {"a": 1}))
    ids = {"request_id": "req-1", "correlation_id": "corr-1", "duration_ms": 824}
    assert good.as_dict() == {**ids, "status": "ok", "result": {"a": 1}}
    assert bad.as_dict() == {
        **ids,
        "status": "error",
        "error": {"code": "TIMEOUT", "message": "too long", "details": {"a": 1}},
    }
    assert InvocationResult("r", "c", 0).as_dict()["result"] == {}


def test_a_request_carries_the_keys_of_the_contract() -> None:
    request = InvocationRequest("req-1", "corr-1", "puruto-cron", "t", "run", "p", 120, 0, "now", {"a": 1})
    contract = ["request_id", "correlation_id", "caller", "target", "action", "prompt", "timeout_sec", "hop"]
    assert list(request.as_dict()) == [*contract, "requested_at", "payload"]
