"""Schedules and zones that are wrong, in the jobs file and on the command line. Source: docs/schedules.md."""

from __future__ import annotations

from tests.acceptance.bad_input_cases import Case, as_process
from tests.acceptance.bad_input_cases_fields import wrong

#: A bad schedule, the text that the error must repeat, and a word of what it says.
_SCHEDULES: tuple[tuple[str, str, str], ...] = (
    ("*/5 * * * * *", "*/5 * * * * *", "must have exactly five fields, not 6"),
    ("* * * *", "* * * *", "must have exactly five fields, not 4"),
    ("*", "*", "must have exactly five fields, not 1"),
    ("every day", "every day", "must have exactly five fields, not 2"),
    ("60 * * * *", "60", "minute '60': is out of range"),
    ("-1 * * * *", "-1", "minute '-1'"),
    ("* 24 * * *", "24", "hour '24': is out of range"),
    ("0 0 0 * *", "0", "day of month '0': is out of range"),
    ("0 0 32 * *", "32", "day of month '32': is out of range"),
    ("0 0 1 0 *", "0", "month '0': is out of range"),
    ("0 0 1 13 *", "13", "month '13': is out of range"),
    ("0 0 * * 8", "8", "day of week '8': is out of range"),
    ("*/0 * * * *", "*/0", "step of 0"),
    ("*/-5 * * * *", "*/-5", "minute"),
    ("5-5 * * * *", "5-5", "range of one value"),
    ("0 0 * * 1-1", "1-1", "range of one value"),
    ("50-10 * * * *", "50-10", "runs backwards"),
    ("0 0 * * fri-sun", "fri-sun", "5-7"),
    ("0 0 * nov-feb *", "nov-feb", "11-12,1-2"),
    ("1,,2 * * * *", "minute", "empty entry"),
    ("0 ,1 * * *", "hour", "empty entry"),
    ("1-2-3 * * * *", "1-2-3", "can't be read"),
    ("1/2/3 * * * *", "1/2/3", "can't be read"),
    ("1.5 * * * *", "1.5", "can't be read"),
    ("1e1 * * * *", "1e1", "minute"),
    ("0 0 * * monday", "monday", "write mon"),
    ("0 0 1 janvier *", "janvier", "write jan"),
    ("0 0 * * lunes", "lunes", "day of week"),
    ("0 9am * * *", "9am", "hour '9am'"),
    ("0 0 L * *", "L", "character L"),
    ("0 0 15W * *", "day of month", "character W"),
    ("0 0 * * 5#2", "5#2", "character #"),
    ("0 0 ? * *", "?", "character ?"),
    ("H H * * *", "minute", "character H"),
    ("R R * * *", "minute", "character R"),
    ("0 0 30 2 *", "30", "never fires"),
    ("0 0 31 2,4,6,9,11 *", "31", "never fires"),
    ("0 0 31 nov *", "31", "never fires"),
    ("@dayly", "@dayly", "did you mean @daily?"),
    ("@reboot", "@reboot", "not an instant"),
    ("@", "@", "unknown"),
    ("@daily 5", "@daily 5", "takes no argument"),
    ("@every", "@every", "must have one argument"),
    ("@every 15", "15", "is not an interval"),
    ("@every 15 m", "15 m", "must have one argument"),
    ("@every 0s", "0s", "out of range"),
    ("@every -5m", "-5m", "is not an interval"),
    ("@every 1.5h", "1.5h", "is not an interval"),
    ("@every 5m1h", "5m1h", "is not an interval"),
    ("@every 367d", "367d", "use 1s to 366d"),
    (f"@every {'9' * 240}d", "9999", "out of range"),
    ("@every 2y", "2y", "is not an interval"),
    ("@at", "@at", "must have one argument"),
    ("@at tomorrow", "tomorrow", "write 2026-02-15T14:30"),
    ("@at 2026-02-30T10:00", "2026-02-30T10:00", "write 2026-02-15T14:30"),
    ("@at 2026-02-15", "2026-02-15", "is not a date and time"),
    ("@at 2026-02-15 14:30", "2026-02-15 14:30", "must have one argument"),
    ("@at 2026-02-15T25:00", "2026-02-15T25:00", "is not a date and time"),
    ("@at 2026-02-15T14:30:00.5", "14:30:00.5", "no fractions"),
    ("@at 2026-02-15T14:30+99:00", "+99:00", "is not a date and time"),
    ("@at 1969-12-31T23:59Z", "1969", "before 1970"),
    ("@at 9999-12-31T23:59-14:00", "9999", "year 9999"),
    ("@at 0000-00-00T00:00", "0000", "@at"),
    (" \t ", "schedule", "it is empty"),
    ("0 9 * * 1–5", "\\u2013", "is not allowed"),
    ("٥ * * * *", "\\u0665", "is not allowed"),
    ("5\u00a0* * * *", "\\xa0", "is not allowed"),
    ("$(reboot) * * * *", "$(reboot)", "minute"),
    ("9" * 200 + " * * * *", "999", "out of range"),
)
_LONG = ",".join(str(n % 60) for n in range(70_000)) + " * * * *"

_IN_FILE = [
    *(wrong("schedule", text, "SCHEDULE_INVALID", shown, said) for text, shown, said in _SCHEDULES),
    wrong("schedule", "", "EMPTY", "is empty"),
    wrong("schedule", "* " * 129, "TOO_LONG", "at most 256", name="of 258 characters"),
    wrong("schedule", _LONG, "TOO_LONG", "at most 256", name="of 200 KB"),
    wrong("schedule", "0 9 * * *\0", "BAD_TEXT", "U+0000"),
    wrong("schedule", "0 9 * *\r*", "BAD_TEXT", "U+000D"),
    wrong("schedule", "0 9 * * *\n0 10 * * *", "SCHEDULE_INVALID", "is not allowed"),
    wrong("schedule", "\ud800 * * * *", "BAD_TEXT", "surrogate", name="with a lone surrogate"),
]

#: Bad zones and what the error says of them.
_ZONES: tuple[tuple[str, str], ...] = (
    ("Mars/Olympus", "Mars/Olympus"),
    ("Europe/Madird", "did you mean Europe/Madrid?"),
    ("europe/madrid", "did you mean Europe/Madrid?"),
    ("Madrid", "did you mean Europe/Madrid?"),
    ("New York", "did you mean America/New_York?"),
    ("+01:00", "+01:00"),
    ("UTC+1", "UTC+1"),
    ("CET-1CEST", "CET-1CEST"),
    ("PST8PDT,M3.2.0,M11.1.0", "PST8PDT,M3.2.0"),
    ("../../etc/passwd", "../../etc/passwd"),
    ("/usr/share/zoneinfo/UTC", "/usr/share/zoneinfo/UTC"),
    (":UTC", ":UTC"),
    ("Europe", "Europe"),
    ("Europe/", "Europe/"),
    ("localtime", "localtime"),
    ("posixrules", "posixrules"),
    ("tzdata.zi", "tzdata.zi"),
    ("zone.tab", "zone.tab"),
    (" UTC", " UTC"),
    ("UTC ", "UTC "),
    (" ", "IANA"),
    ("Zürich", "Zürich"),
    ("ＵＴＣ", "ＵＴＣ"),
)
_ZONES_IN_FILE = [
    *(wrong("timezone", zone, "TIMEZONE_INVALID", said) for zone, said in _ZONES),
    wrong("timezone", "", "EMPTY", "is empty"),
    wrong("timezone", "A" * 65, "TOO_LONG", "at most 64"),
    wrong("timezone", "Europe/Madrid\n", "TIMEZONE_INVALID", "Europe/Madrid"),
    wrong("timezone", "UTC\0", "BAD_TEXT", "U+0000"),
    wrong("timezone", "\udc80", "BAD_TEXT", "surrogate", name="with a lone surrogate"),
]


def _tried(name: str, code: str, names: tuple[str, ...], *words: str) -> Case:
    return Case(name, ("next", *words), code, names)


_TRIED = [
    *(
        _tried(f"next schedule {text[:30]!r}", "SCHEDULE_INVALID", (shown, said, "field: "), f"--schedule={text}")
        for text, shown, said in _SCHEDULES
    ),
    *(
        _tried(f"next zone {zone!r}", "TIMEZONE_INVALID", (said, "timezone"), "--schedule=@daily", f"--timezone={zone}")
        for zone, said in _ZONES
    ),
    _tried("next schedule empty", "SCHEDULE_INVALID", ("schedule", "it is empty"), "--schedule", ""),
    _tried("next schedule of 200 KB", "SCHEDULE_INVALID", ("at most 256 are allowed",), "--schedule", _LONG[:100_000]),
    _tried("next schedule of two lines", "SCHEDULE_INVALID", ("is not allowed",), "--schedule", "0 9 * * *\n* * * * *"),
    _tried(
        "next zone empty",
        "TIMEZONE_INVALID",
        ("timezone",),
        "--schedule=@daily",
        "--timezone=",
    ),
    _tried("next zone with a newline", "TIMEZONE_INVALID", ("UTC",), "--schedule", "@daily", "--timezone", "UTC\n"),
    _tried("next schedule and zone wrong", "TIMEZONE_INVALID", ("Nowhere",), "--schedule=@daily", "--timezone=Nowhere"),
]

CASES = [
    *_IN_FILE, *_ZONES_IN_FILE, *_TRIED,
    *as_process(_IN_FILE[0], _IN_FILE[35], _IN_FILE[-1], _ZONES_IN_FILE[0], _TRIED[10], _TRIED[-2]),
]  # fmt: skip
