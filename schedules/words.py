"""Describes five cron fields in plain English, exactly as the scheduler reads them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schedules.fields import Field

if TYPE_CHECKING:
    from schedules.cron import Cron


def listing(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _runs(field: Field, plural: str = "") -> str:
    """The field's values, with runs of three or more as a range: `1, 9 to 17 and 23`."""
    words: list[str] = []
    for _, group in itertools.groupby(enumerate(field.values), lambda pair: pair[1] - pair[0]):
        run = [field.spec.word(value) + plural for _, value in group]
        words += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else run
    return listing(words)


def clock_words(cron: Cron) -> str:
    """The times of day."""
    minutes, hours = cron.minutes, cron.hours
    if len(minutes.values) * len(hours.values) <= 6:
        return "At " + listing([f"{hour:02}:{minute:02}" for hour in hours.values for minute in minutes.values])
    step = 60 // len(minutes.values)
    if minutes.full:
        text = "Every minute"
    elif len(minutes.values) > 1 and minutes.values == tuple(range(0, 60, step)):
        text = f"Every {step} minutes"
    else:
        text = f"At minute{'s' * (len(minutes.values) > 1)} {_runs(minutes)}" + " of every hour" * hours.full
    return text if hours.full else f"{text} of hour{'s' * (len(hours.values) > 1)} {_runs(hours)}"


def day_words(cron: Cron) -> str:
    """The days, and whether both day fields must match or one is enough."""
    dates = f"on day{'s' * (len(cron.days.values) > 1)} {_runs(cron.days)} of the month"
    weekdays = f"on {_runs(cron.weekdays, 's')}"
    if cron.days.starred or cron.weekdays.starred:
        if cron.days.full:
            text = "every day" if cron.weekdays.full else weekdays
        elif cron.weekdays.full:
            text = dates
        else:
            text = f"{dates}, but only {weekdays} (both must match, because one of the two day fields starts with *)"
    elif cron.days.full or cron.weekdays.full:
        text = "every day (one of the two day fields is enough, and one of them names every day)"
    else:
        text = f"{dates} and also {weekdays} (either is enough, because neither day field starts with *)"
    return f", {text}" + ("" if cron.months.full else f", in {_runs(cron.months)}")


def shift_words(cron: Cron) -> str:
    """The effect of daylight saving."""
    months = (datetime(year, month, 1, tzinfo=UTC) for year in range(2000, 2038) for month in range(1, 13))
    if len({month.astimezone(cron.zone).utcoffset() for month in months}) == 1:
        return "This zone has no daylight saving."
    if cron.kind == "wild":
        return "Daylight saving: it follows the clock: twice in a repeated hour, not in a skipped one."
    return (
        "Daylight saving: a time that is skipped runs once, in the first minute after the gap; "
        "a time that comes twice runs the first time only."
    )
