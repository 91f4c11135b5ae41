"""Instants in words, as `--since` reads them: in the past."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from commands.when import given_start
from core.errors import UsageError

#: A Wednesday, 21:00 in Madrid.
NOW = datetime(2026, 2, 25, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("90m", "2026-02-25T19:30"),
        ("2 h ago", "2026-02-25T19:00"),
        ("7d", "2026-02-18T21:00"),
        ("18:00", "2026-02-25T18:00"),
        ("21:00", "2026-02-25T21:00"),
        ("22:00", "2026-02-24T22:00"),
        ("today", "2026-02-25T00:00"),
        ("today 9:00", "2026-02-25T09:00"),
        ("yesterday", "2026-02-24T00:00"),
        ("Yesterday 9:00", "2026-02-24T09:00"),
        ("monday", "2026-02-23T00:00"),
        ("monday 9:00", "2026-02-23T09:00"),
        ("wed", "2026-02-25T00:00"),
        ("wed 22:00", "2026-02-18T22:00"),
        ("2026-02-01", "2026-02-01T00:00"),
        ("2026-02-01T09:00", "2026-02-01T09:00"),
    ],
)
def test_a_start_is_the_last_such_time_before_now(text: str, local: str) -> None:
    found = given_start("--since", text, "Europe/Madrid", NOW)
    assert found == datetime.fromisoformat(f"{local}:00+01:00")


@pytest.mark.parametrize("text", ["tomorrow", "tomorrow 9:00", "soon", "at 9", "0h", "99999999999w", "999999w"])
def test_what_is_no_start_is_refused_in_our_own_words(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        given_start("--since", text, "Europe/Madrid", NOW)
    assert "isoformat" not in caught.value.message
    assert "yesterday" in caught.value.hint


def test_a_day_that_the_month_does_not_have_is_named() -> None:
    with pytest.raises(UsageError, match="day is out of range"):
        given_start("--since", "2026-02-30", "Europe/Madrid", NOW)
