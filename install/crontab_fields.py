"""Which words are fields of a schedule, and what a line with more than five of them may mean.

Source: the manuals of Quartz, Spring, AWS EventBridge and supercronic (seconds come first, years last).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAMES = re.compile(r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat", re.IGNORECASE)
#: Letters of Quartz and Jenkins: last, weekday, hash.
_LETTERS = re.compile(r"(?<![A-Za-z])(?:LW|[LWH])(?![A-Za-z])")
_FIELD = re.compile(r"[0-9*?~][0-9*?~,/#()-]*")
_SECONDS = re.compile(r"\*(?:/([0-9]+))?|[0-9]{1,2}")
_YEAR = re.compile(r"\*(?:/[0-9]+)?|[0-9]{4}(?:[-,/][0-9]+)*")
#: Values at most, of minute or second, hour, day, month, day of week.
_LIMITS = (59, 23, 31, 12, 7)
#: A step from a single value, like `5/15`: not after a range or a star.
_BARE_STEP = re.compile(r"(?:^|,)([0-9]+|[A-Za-z]{3})/([0-9]+)(?=,|$)")


def is_field(word: str) -> bool:
    """Whether a word reads like a field of a schedule: `*`, `*/5`, `1-5`, `MON-FRI`, `?`, `15W`, `2026`."""
    # After a digit only a letter is left of `15W` and `6L`.
    plain = re.sub(r"(?<=[0-9])[LW](?![A-Za-z])", "", word)
    return _FIELD.fullmatch(_LETTERS.sub("0", _NAMES.sub("0", plain))) is not None


def leading_fields(text: str) -> list[str]:
    """The words at the beginning of `text` that read like fields, two at most: no schedule has more than seven."""
    fields: list[str] = []
    for word in text.split()[:2]:
        if not is_field(word):
            break
        fields.append(word)
    return fields


def bare_step(field: str) -> str:
    """The part of a field that steps from a single value, like `5/15`; "" if there is none."""
    match = _BARE_STEP.search(field)
    return match[0].removeprefix(",") if match else ""


def likely_meaning(fields: Sequence[str]) -> str:
    """What a line with six or seven fields probably means, and what to write instead: sentences."""
    if len(fields) == 7:
        readings = [_with_seconds(fields[:6], fields[6])]
    else:
        readings = [text for text in (_seconds_first(fields), _year_last(fields)) if text]
    text = " ".join(readings) or "Write five fields: minute, hour, day of month, month, day of week."
    if "?" in fields and any(char.isdigit() for char in fields[-2] + fields[-1]):
        text += " There day 1 is Sunday: write the days as names."
    return text


def _seconds_first(fields: Sequence[str]) -> str:
    if not _SECONDS.fullmatch(fields[0]) or not _fits(fields[1:]):
        return ""
    return _with_seconds(fields, "")


def _with_seconds(fields: Sequence[str], year: str) -> str:
    seconds, rest = fields[0], _five(fields[1:])
    also = " and the year comes last" if year else ""
    text = f"If seconds come first{also}, as in Quartz and supercronic, "
    step = _SECONDS.fullmatch(seconds)
    if step is not None and seconds.isdecimal():
        text += f"write `{rest}`" + (f"; the second {int(seconds)} can't be kept." if int(seconds) else ".")
    elif step is not None and rest == "* * * * *":
        text += f"it runs each {step[1] or 1} s: register-job with the schedule `@every {step[1] or 1}s`."
    else:
        text += "it runs several times a minute, which five fields can't express."
    if year not in ("", "*", "?"):
        text += f" The year {year} can't be kept either."
    return text


def _year_last(fields: Sequence[str]) -> str:
    year = fields[5]
    if year == "?" or not _YEAR.fullmatch(year) or not _fits(fields[:5]):
        return ""
    kept = "" if year == "*" else f"; the year {year} can't be kept"
    return f"If the year comes last, as in AWS and supercronic, write `{_five(fields[:5])}`{kept}."


def _fits(fields: Sequence[str]) -> bool:
    numbers = ([int(text) for text in re.findall(r"[0-9]+", field.partition("/")[0])] for field in fields)
    return all(max(found, default=0) <= limit for found, limit in zip(numbers, _LIMITS, strict=True))


def _five(fields: Sequence[str]) -> str:
    return " ".join("*" if field == "?" else field for field in fields)
