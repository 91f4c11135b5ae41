"""A text that is no schedule is answered with the one that was probably meant."""

from __future__ import annotations

import re

import pytest

from core.errors import ScheduleError
from schedules.language import check, describe

CASES = {
    "CRON_TZ=Europe/Rome 0 9 * * *": "write 0 9 * * * here, and Europe/Rome into the field timezone",
    "TZ='America/New_York' @daily": "write @daily here, and America/New_York into the field timezone",
    "cron_tz=UTC": "write 0 9 * * * here, and UTC into the field timezone",
    "5m": "write @every 5m",
    "1h30m": "write @every 1h30m",
    "every 5 minutes": "write @every 5m",
    "every hour": "write @every 1h",
    "every 2 weeks": "write @every 2w",
    "15 min": "write @every 15m",
    "@every 5 minutes": "write @every 5m",
    "@every 1 h": "write @every 1h",
    "@every 90": "write 90s for seconds, 90m for minutes or 90h for hours",
    "@every 5min": "write @every 5m",
    "daily": "write @daily",
    "Weekly": "write @weekly",
    "at 9am": "write 0 9 * * *",
    "9:30 pm": "write 30 21 * * *",
    "every day at 12am": "write 0 0 * * *",
    "daily at 17:05": "write 5 17 * * *",
    "@daily 09:00": "write 0 9 * * *",
    "@midnight 5": "write @midnight",
    "2026-02-15T14:30": "write @at 2026-02-15T14:30",
    "@at 2026-02-15 14:30": "write @at 2026-02-15T14:30",
    "Mon..Fri *-*-* 09:00:00": "write 0 9 * * Mon-Fri",
    "*-*-* 02:30": "write 30 2 * * *",
    "*-*-01 04:00:00": "OnCalendar of systemd",
    "0 0 9 ? * MON-FRI": "write 0 9 * * MON-FRI",
    "0 0 12 * * ? 2026": "write 0 12 * * *",
    "*/30 * * * * *": "write * * * * *",
    "0 9 * * 1-5 /usr/bin/report --all": "write 0 9 * * 1-5; the program behind it belongs into command",
    "*/5": "write */5 * * * *",
}


@pytest.mark.parametrize("text", CASES)
def test_the_hint_has_what_was_probably_meant(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        check(text, "UTC")
    assert CASES[text] in caught.value.hint, caught.value.hint
    # What it says to write is a schedule.
    written = re.search(r"write ((?:@every |@at )?[^;]+?)(?: here,| for seconds,|;|$)", caught.value.hint)
    if written and "minute, hour" not in written[1]:
        check(written[1] if not written[1].endswith("s") or "@" in written[1] else f"@every {written[1]}", "UTC")


@pytest.mark.parametrize("text", ["banana", "5", "0 9 * *", "every blue moon", "at noon", "99:99", "a b c d e f g h i"])
def test_nothing_is_guessed_where_nobody_can_tell(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        check(text, "UTC")
    assert "write @" not in caught.value.hint
    assert caught.value.hint


def test_a_week_is_seven_days() -> None:
    assert describe("@every 1w", "UTC").startswith("Every 7 days,")
    assert describe("@every 1w2d3h", "UTC").startswith("Every 9 days and 3 hours,")
    with pytest.raises(ScheduleError, match="out of range"):
        check("@every 53w", "UTC")
