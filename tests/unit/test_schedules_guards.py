"""Every bad schedule and zone is refused with an error that names the field, the text and the fix if there is one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import ScheduleError, TimezoneError
from schedules.language import check, check_timezone, describe, due_slots, kind, next_fire
from tests.support_schedules import NOON

M, H, DOM, MON, DOW = "minute", "hour", "day of month", "month", "day of week"

#: schedule, the field that the error names, the offending text, a part of its message or hint
BAD: list[tuple[str, str, str, str]] = [
    # ranges that croniter takes for the whole field
    ("5-5 * * * *", M, "5-5", "write 5"),
    ("0-0 * * * *", M, "0-0", "write 0"),
    ("59-59/2 * * * *", M, "59-59/2", "write 59"),
    ("1,5-5 * * * *", M, "5-5", "write 5"),
    ("0 0-0 * * *", H, "0-0", "write 0"),
    ("0 0 1-1 * *", DOM, "1-1", "write 1"),
    ("0 0 1 jan-jan *", MON, "jan-jan", "write jan"),
    ("0 0 1 1-jan *", MON, "1-jan", "write 1"),
    ("0 0 * * 1-1", DOW, "1-1", "write 1"),
    ("0 0 * * 0-0", DOW, "0-0", "write 0"),
    ("0 0 * * 7-7", DOW, "7-7", "write 7"),
    ("0 0 * * sun-sun", DOW, "sun-sun", "write sun"),
    ("0 0 * * sun-0", DOW, "sun-0", "write sun"),
    # ranges that croniter wraps
    ("50-10 * * * *", M, "50-10", "write 50-59,0-10"),
    ("59-0 * * * *", M, "59-0", "write 59,0"),
    ("0 22-2 * * *", H, "22-2", "write 22-23,0-2"),
    ("0 20-4/4 * * *", H, "20-4/4", "backwards"),
    ("0 0 28-3 * *", DOM, "28-3", "write 28-31,1-3"),
    ("0 0 1 nov-feb *", MON, "nov-feb", "write 11-12,1-2"),
    ("0 0 1 12-1 *", MON, "12-1", "write 12,1"),
    ("0 0 * * fri-sun", DOW, "fri-sun", "write 5-7"),
    ("0 0 * * FRI-SUN", DOW, "FRI-SUN", "write 5-7"),
    ("0 0 * * fri-mon", DOW, "fri-mon", "write 5-7,1"),
    ("0 0 * * sat-tue", DOW, "sat-tue", "write 6-7,1-2"),
    ("0 0 * * 6-0", DOW, "6-0", "write 6-7"),
    ("0 0 * * 7-1", DOW, "7-1", "write 7,1"),
    # not five fields
    ("*", "schedule", "*", "five fields, not 1"),
    ("* * * *", "schedule", "* * * *", "five fields, not 4"),
    ("*/5 * * * * *", "schedule", "*/5 * * * * *", "five fields, not 6"),
    ("0 0 0 * * *", "schedule", "0 0 0 * * *", "no seconds"),
    ("0 0 1 1 * 2026 0", "schedule", "0 0 1 1 * 2026 0", "five fields, not 7"),
    ("0 9 * * 5 python3 main.py", "schedule", "0 9 * * 5 python3 main.py", "five fields, not 7"),
    ("0 9 * * 1 - 5", "schedule", "0 9 * * 1 - 5", "five fields, not 7"),
    ("daily", "schedule", "daily", "five fields, not 1"),
    ("every 15 minutes", "schedule", "every 15 minutes", "five fields, not 3"),
    # marks of other languages
    ("0 0 * * 1#2", DOW, "1#2", "character #"),
    ("0 0 * * fri#1", DOW, "fri#1", "character #"),
    ("0 0 * * L", DOW, "L", "character L"),
    ("0 0 * * 5L", DOW, "5L", "character L"),
    ("0 0 * * L5", DOW, "L5", "character L"),
    ("0 0 L * *", DOM, "L", "character L"),
    ("0 0 L-3 * *", DOM, "L-3", "character L"),
    ("0 0 15W * *", DOM, "15W", "character W"),
    ("0 0 w15 * *", DOM, "w15", "character W"),
    ("0 0 LW * *", DOM, "LW", "character L"),
    ("0 0 ? * 1", DOM, "?", "write *"),
    ("0 0 1 * ?", DOW, "?", "write *"),
    ("? * * * *", M, "?", "character ?"),
    ("H * * * *", M, "H", "character H"),
    ("H/15 * * * *", M, "H/15", "character H"),
    ("H(0-29) * * * *", M, "H(0-29)", "character H"),
    ("0 H * * *", H, "H", "character H"),
    ("R R * * *", M, "R", "character R"),
    ("0 R(1-5) * * *", H, "R(1-5)", "character R"),
    ("0 0 * R *", MON, "R", "character R"),
    ("0~30 * * * *", M, "0~30", "character ~"),
    # never fires
    ("0 0 30 2 *", DOM, "30", "never fires"),
    ("0 0 31 2 *", DOM, "31", "never fires"),
    ("0 0 30,31 feb *", DOM, "30,31", "never fires"),
    ("0 0 31 2,4,6,9,11 *", DOM, "31", "never fires"),
    ("0 0 31 4-6/2 *", DOM, "31", "never fires"),
    ("0 0 30-31 2 */2", DOM, "30-31", "never fires"),
    ("0 0 31 11 *,1", DOM, "31", "never fires"),
    # out of range
    ("60 * * * *", M, "60", "use 0 to 59"),
    ("0-60 * * * *", M, "0-60", "use 0 to 59"),
    ("60-70 * * * *", M, "60-70", "use 0 to 59"),
    ("5,99 * * * *", M, "99", "use 0 to 59"),
    ("60/5 * * * *", M, "60/5", "use 0 to 59"),
    ("0 24 * * *", H, "24", "use 0 to 23"),
    ("0 9-25 * * *", H, "9-25", "use 0 to 23"),
    ("0 0 0 * *", DOM, "0", "use 1 to 31"),
    ("0 0 32 * *", DOM, "32", "use 1 to 31"),
    ("0 0 0-5 * *", DOM, "0-5", "use 1 to 31"),
    ("0 0 1 0 *", MON, "0", "use 1 to 12"),
    ("0 0 1 13 *", MON, "13", "use 1 to 12"),
    ("0 0 * * 8", DOW, "8", "use 0 to 7"),
    ("0 0 * * 1-8", DOW, "1-8", "use 0 to 7"),
    ("0 0 2026 * *", DOM, "2026", "use 1 to 31"),
    ("9" * 200 + " * * * *", M, "9" * 200, "use 0 to 59"),
    # steps
    ("*/0 * * * *", M, "*/0", "step of 0"),
    ("5/0 * * * *", M, "5/0", "step of 0"),
    ("0 0-23/0 * * *", H, "0-23/0", "step of 0"),
    ("0 0 */00 * *", DOM, "*/00", "step of 0"),
    ("*/ * * * *", M, "*/", "can't be read"),
    ("/5 * * * *", M, "/5", "can't be read"),
    ("*/-5 * * * *", M, "*/-5", "can't be read"),
    ("*/5/5 * * * *", M, "*/5/5", "can't be read"),
    ("*/1.5 * * * *", M, "*/1.5", "can't be read"),
    ("*/x * * * *", M, "*/x", "can't be read"),
    ("0 0 * * */mon", DOW, "*/mon", "can't be read"),
    # unreadable
    ("x * * * *", M, "x", "numbers 0 to 59"),
    ("-5 * * * *", M, "-5", "can't be read"),
    ("+5 * * * *", M, "+5", "can't be read"),
    ("5- * * * *", M, "5-", "can't be read"),
    ("1-2-3 * * * *", M, "1-2-3", "can't be read"),
    ("5.0 * * * *", M, "5.0", "can't be read"),
    ("1e1 * * * *", M, "1e1", "can't be read"),
    ("0x5 * * * *", M, "0x5", "can't be read"),
    ("1_0 * * * *", M, "1_0", "can't be read"),
    ("** * * * *", M, "**", "can't be read"),
    ("*5 * * * *", M, "*5", "can't be read"),
    ("*-5 * * * *", M, "*-5", "can't be read"),
    ("1-* * * * *", M, "1-*", "can't be read"),
    (", * * * *", M, "", "empty entry"),
    ("5, * * * *", M, "", "remove the comma"),
    (",5 * * * *", M, "", "empty entry"),
    ("1,,2 * * * *", M, "", "empty entry"),
    ("1;2 * * * *", M, "1;2", "can't be read"),
    ("mon * * * *", M, "mon", "can't be read"),
    ("0 noon * * *", H, "noon", "can't be read"),
    ("0 9:30 * * *", H, "9:30", "can't be read"),
    ("0 9am * * *", H, "9am", "can't be read"),
    ("0 0 jan * *", DOM, "jan", "can't be read"),
    ("0 0 1st * *", DOM, "1st", "can't be read"),
    ("0 0 1 mon *", MON, "mon", "names jan"),
    ("0 0 1 january *", MON, "january", "write jan"),
    ("0 0 1 jan-xyz *", MON, "jan-xyz", "can't be read"),
    ("0 0 * * jan", DOW, "jan", "names sun"),
    ("0 0 * * sunday", DOW, "sunday", "write sun"),
    ("0 0 * * lunes", DOW, "lunes", "can't be read"),
    ("0 0 * * mon-fri-", DOW, "mon-fri-", "can't be read"),
    ("0 0 * * mon fri", "schedule", "0 0 * * mon fri", "five fields, not 6"),
    ("$(date) * * * *", M, "$(date)", "can't be read"),
    ("0 0 * * {}", DOW, "{}", "can't be read"),
    # whole texts
    ("", "schedule", "", "empty"),
    ("   \t ", "schedule", "", "empty"),
    ("0 0 * * *\n", "schedule", "", "'\\n'"),
    ("0 0 * *\n*", "schedule", "", "'\\n'"),
    ("0 0 * * *\r", "schedule", "", "'\\r'"),
    ("0 0 * * *\x00", "schedule", "", "'\\x00'"),
    ("0\x0b0 * * *", "schedule", "", "'\\x0b'"),
    ("0\u00a00\u00a0*\u00a0*\u00a0*", "schedule", "", "'\\xa0'"),
    ("0\u30000 * * *", "schedule", "", "'\\u3000'"),
    ("\u0665 * * * *", "schedule", "", "'\\u0665'"),
    ("0 0 * * \u2217", "schedule", "", "'\\u2217'"),
    ("0 9\u201317 * * *", "schedule", "", "'\\u2013'"),
    ("\x1b[31m0 0 * * *", "schedule", "", "'\\x1b'"),
    ("0 0 * * *" + " " * 300, "schedule", "", "at most 256"),
    (",".join(["5"] * 200) + " * * * *", "schedule", "", "at most 256"),
    ("1" * 5000 + " * * * *", "schedule", "", "5008 characters"),
    # names with @
    ("@", "schedule", "@", "use one of @hourly"),
    ("@dayly", "schedule", "@dayly", "did you mean @daily?"),
    ("@weekley", "schedule", "@weekley", "did you mean @weekly?"),
    ("@Anually", "schedule", "@Anually", "did you mean @annually?"),
    ("@evry 5m", "schedule", "@evry 5m", "did you mean @every?"),
    ("@reboot", "schedule", "@reboot", "an @reboot line of your crontab"),
    ("@REBOOT", "schedule", "@REBOOT", "not an instant"),
    ("@daily 5", "schedule", "@daily 5", "write @daily"),
    ("@ daily", "schedule", "@ daily", "unknown"),
    ("@daily @hourly", "schedule", "@daily @hourly", "takes no argument"),
    # @every
    ("@every", "@every", "", "for example, write @every 1h30m"),
    ("@every 1h 30m", "@every", "1h 30m", "without spaces"),
    ("@every 15", "@every", "15", "with units"),
    ("@every m", "@every", "m", "with units"),
    ("@every 15min", "@every", "15min", "with units"),
    ("@every 15M", "@every", "15M", "with units"),
    ("@every 10ms", "@every", "10ms", "with units"),
    ("@every 1.5h", "@every", "1.5h", "whole numbers"),
    ("@every -5m", "@every", "-5m", "with units"),
    ("@every 30m1h", "@every", "30m1h", "largest first"),
    ("@every 1h1h", "@every", "1h1h", "largest first"),
    ("@every 0s", "@every", "0s", "use 1s to 366d"),
    ("@every 0d0h", "@every", "0d0h", "use 1s to 366d"),
    ("@every 367d", "@every", "367d", "use 1s to 366d"),
    ("@every 366d1s", "@every", "366d1s", "use 1s to 366d"),
    ("@every " + "9" * 200 + "d", "@every", "9" * 200 + "d", "use 1s to 366d"),
    # @at
    ("@at", "@at", "", "for example, write @at 2026-02-15T14:30"),
    ("@at tomorrow", "@at", "tomorrow", "2026-02-15T14:30"),
    ("@at 2026-02-15", "@at", "2026-02-15", "is not a date and time"),
    ("@at 14:30", "@at", "14:30", "is not a date and time"),
    ("@at 2026-02-15 14:30", "@at", "2026-02-15 14:30", "without spaces"),
    ("@at 2026-02-15t14:30", "@at", "2026-02-15t14:30", "is not a date and time"),
    ("@at 2026-02-30T14:30", "@at", "2026-02-30T14:30", "no such date"),
    ("@at 2027-02-29T14:30", "@at", "2027-02-29T14:30", "no such date"),
    ("@at 2026-13-01T14:30", "@at", "2026-13-01T14:30", "no such date"),
    ("@at 2026-02-15T24:00", "@at", "2026-02-15T24:00", "is not a date and time"),
    ("@at 2026-02-15T14:60", "@at", "2026-02-15T14:60", "is not a date and time"),
    ("@at 2026-02-15T14:30:60", "@at", "2026-02-15T14:30:60", "is not a date and time"),
    ("@at 2026-02-15T14:30:00.5", "@at", "2026-02-15T14:30:00.5", "no fractions"),
    ("@at 2026-02-15T14:30+0100", "@at", "2026-02-15T14:30+0100", "is not a date and time"),
    ("@at 2026-02-15T14:30+15:00", "@at", "2026-02-15T14:30+15:00", "is not a date and time"),
    ("@at 2026-02-15T14:30+01:60", "@at", "2026-02-15T14:30+01:60", "is not a date and time"),
    ("@at 2026-02-15T14:30[Europe/Madrid]", "@at", "2026-02-15T14:30[Europe/Madrid]", "is not a date and time"),
    ("@at 20260215T143000", "@at", "20260215T143000", "is not a date and time"),
    ("@at 1771165800", "@at", "1771165800", "is not a date and time"),
    ("@at 1969-12-31T23:59", "@at", "1969-12-31T23:59", "before 1970"),
    ("@at 0000-01-01T00:00", "@at", "0000-01-01T00:00", "no such date"),
    ("@at 10000-01-01T00:00", "@at", "10000-01-01T00:00", "is not a date and time"),
    ("@at 9999-12-31T23:30-05:00", "@at", "9999-12-31T23:30-05:00", "after the year 9999"),
]


def test_the_table_of_bad_schedules_is_as_long_as_promised() -> None:
    assert len({row[0] for row in BAD}) == len(BAD) >= 180


@pytest.mark.parametrize(("schedule", "field", "text", "part"), BAD, ids=[ascii(row[0][:40]) for row in BAD])
def test_a_bad_schedule_is_refused_naming_the_field_and_the_text(
    schedule: str, field: str, text: str, part: str
) -> None:
    with pytest.raises(ScheduleError) as caught:
        check(schedule, "Europe/Madrid")
    error = caught.value
    assert not isinstance(error, TimezoneError)
    assert (error.field, error.exit_code) == (field, 2)
    assert error.message.startswith(field)
    assert text in error.message
    assert text in error.text
    assert part in f"{error.message} | {error.hint}"
    assert error.message.isprintable()


@pytest.mark.parametrize("value", [None, b"0 0 * * *", 5, 5.5, True, ["0 0 * * *"], {"cron": "0 0 * * *"}])
def test_a_schedule_that_is_not_text_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(ScheduleError, match=f"schedule: must be text, not {type(value).__name__}"):
        check(value, "UTC")


def test_every_function_refuses_a_bad_schedule() -> None:
    bad = "5-5 * * * *"
    entrances: list[Callable[[], object]] = [
        lambda: next_fire(bad, "UTC", NOON),
        lambda: due_slots(bad, "UTC", NOON, NOON),
        lambda: describe(bad, "UTC"),
        lambda: kind(bad),
    ]
    for enter in entrances:
        with pytest.raises(ScheduleError, match="minute '5-5'"):
            enter()


BAD_ZONES = [
    ("", "IANA"),
    (" ", "IANA"),
    ("../x", "paths"),
    ("../../etc/passwd", "paths"),
    ("Europe/../UTC", "paths"),
    ("/etc/localtime", "paths"),
    ("/usr/share/zoneinfo/Europe/Madrid", "paths"),
    ("Europe\\Madrid", "Europe/Madrid"),
    ("localtime", "IANA"),
    ("posixrules", "IANA"),
    ("Factory", "IANA"),
    ("posix/Europe/Madrid", "IANA"),
    ("right/UTC", "IANA"),
    (":Europe/Madrid", "Europe/Madrid"),
    ("UTC0", "UTC"),
    ("CET-1CEST", "IANA"),
    ("<+01>-1", "offsets"),
    ("+01:00", "offsets"),
    ("UTC+2", "IANA"),
    ("PST", "abbreviations"),
    ("Europe", "IANA"),
    ("Europe/", "IANA"),
    ("Europe/Madird", "did you mean Europe/Madrid?"),
    ("europe/madrid", "did you mean Europe/Madrid?"),
    ("Madrid", "did you mean Europe/Madrid?"),
    ("New York", "did you mean America/New_York?"),
    ("Europe/Madrid\n", "did you mean Europe/Madrid?"),
    ("Europe/Madrid\x00", "IANA"),
    ("zone.tab", "IANA"),
    ("tzdata.zi", "IANA"),
    ("Europe/Mádrid", "did you mean Europe/Madrid?"),
    ("x" * 10_000, "IANA"),
]


@pytest.mark.parametrize(("zone", "part"), BAD_ZONES, ids=[ascii(row[0][:40]) for row in BAD_ZONES])
def test_a_bad_zone_is_refused_with_a_suggestion_where_there_is_one(zone: str, part: str) -> None:
    entrances: list[Callable[[], object]] = [lambda: check_timezone(zone), lambda: check("0 0 * * *", zone)]
    for enter in entrances:
        with pytest.raises(TimezoneError) as caught:
            enter()
        assert caught.value.field == "timezone"
        assert part in f"{caught.value.message} | {caught.value.hint}"
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 200


@pytest.mark.parametrize("value", [None, b"UTC", 1, ["UTC"]])
def test_a_zone_that_is_not_text_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(TimezoneError, match=f"timezone: must be text, not {type(value).__name__}"):
        check_timezone(value)


def test_a_hint_never_names_a_zone_that_would_be_refused() -> None:
    for zone in ("localtim", "Factory", "localtime", "posixrule"):
        with pytest.raises(TimezoneError) as caught:
            check_timezone(zone)
        assert "did you mean" not in caught.value.hint


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "Europe/Madrid", "America/Argentina/Buenos_Aires", "EST5EDT"])
def test_an_iana_name_is_accepted(zone: str) -> None:
    check_timezone(zone)
    check("0 0 * * *", zone)


GOOD = [
    "* * * * *",
    "  0   9\t*  * 1-5  ",
    "*/1 * * * *",
    "*/90 * * * *",
    "0-59/100 * * * *",
    "007 09 01 01 00",
    "0 0 29 2 *",
    "0 0 31 2 1",
    "0 0 * JAN-mar Mon,FRI",
    "0 0 * * 0-7",
    "0 0 * * sun-sat",
    "0 0 1,* * 1",
    "@daily",
    " @Daily ",
    "@ANNUALLY",
    "@every 1s",
    "@every  366d",
    "@EVERY 1d2h3m4s",
    "@at 1970-01-01T00:00Z",
    "@at 9999-12-31T23:59:59Z",
    "@AT 2026-02-15T14:30:15-03:30",
    ",".join(map(str, range(60))) + " " + ",".join(map(str, range(24))) + " * * *",
]


@pytest.mark.parametrize("schedule", GOOD)
def test_a_good_schedule_is_accepted(schedule: str) -> None:
    check(schedule, "Europe/Madrid")
