"""Tables of other programs that look like crontabs: anacron's and fcron's. A line of theirs has another meaning here.

Source: anacrontab(5), fcrontab(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from install.crontab_fields import is_field

_ANACRON = re.compile(r"(?:[0-9]+|@[a-z-]+)[ \t]+[0-9]+[ \t]+(?P<name>[^ \t/]+)[ \t]+[^ \t]")
_ASSIGNMENT = re.compile(r"[^\s=]+\s*=")
#: `!options`, `&options 0 3 * * * x`, `%daily,options 0 3 x`.
_FCRON = re.compile(r"[!&%]")
#: `@ 30 x`, `@mailto(root) 2d x`, `@first(5),nice(3) 1h x`, `@12h02 1d x`.
_OPTION = r"[a-z0-9]+(?:\([^)]*\))?"
_FCRON_UPTIME = re.compile(rf"@(?P<first>{_OPTION}(?:,{_OPTION})*)?[ \t]+[0-9]+(?:[mwdhs][0-9]+)*[mwdhs]?[ \t]+[^ \t]")
_CRONS_WORDS = frozenset({
    "reboot", "boot", "every", "at", "minutely", "hourly", "daily", "midnight", "weekly", "monthly", "quarterly",
    "yearly", "annually",
})  # fmt: skip


@dataclass(frozen=True)
class Foreign:
    """A table of another program: a stable code, a sentence without its full stop, and what to do."""

    code: str
    reason: str
    hint: str


ANACRON = Foreign(
    "ANACRONTAB",
    "This is an anacrontab: its fields are a period in days, a delay in minutes and a name, and not times",
    "Register each job by hand with register-job: --schedule @daily, @weekly or @monthly, and --catch-up latest, which "
    "runs a day that was missed. Or leave the file to anacron.",
)
FCRON = Foreign(
    "FCRONTAB",
    "This is a table of fcron: its options (!, &, %, @) and its fields have other rules than cron's",
    "Register each job by hand with register-job, or leave the file to fcron. In fcron both days must match, and ~ "
    "leaves a value out.",
)


def foreign(lines: Iterable[str]) -> Foreign | None:
    """Which other program's table these are, if any: the lines without blank ones and comments."""
    entries = [line for line in lines if not _ASSIGNMENT.match(line)]
    if any(_FCRON.match(line) or _is_fcrons_uptime(line) for line in entries):
        return FCRON
    return ANACRON if entries and all(map(is_anacrons, entries)) else None


def is_anacrons(line: str) -> bool:
    """Whether a line reads like one of an anacrontab: `7 25 cron.weekly run-parts /etc/cron.weekly`."""
    match = _ANACRON.match(line)
    return match is not None and not is_field(match["name"])


def _is_fcrons_uptime(line: str) -> bool:
    match = _FCRON_UPTIME.match(line)
    # `@daily 15 cron.daily x` is anacron's, `@every 5m x` Go's.
    return match is not None and match["first"] not in _CRONS_WORDS
