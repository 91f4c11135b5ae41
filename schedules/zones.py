"""IANA zones, and the conversion of their wall times to UTC."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.errors import TimezoneError

_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_NOT_IANA = {"localtime", "posixrules", "factory", "posix", "right"}  # files and folders next to the real zones


def is_zone(name: str) -> bool:
    """Whether `name` is an IANA zone that this machine knows."""
    if not _ZONE_NAME.fullmatch(name) or name.split("/")[0].lower() in _NOT_IANA:
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def zone_text(timezone: object) -> str:
    """`timezone` if it is text. Raises TimezoneError."""
    if not isinstance(timezone, str):
        raise TimezoneError(f"timezone: must be text, not {type(timezone).__name__}", field="timezone")
    return timezone


@functools.lru_cache(maxsize=256)
def known_zone(name: str) -> ZoneInfo:
    """The zone of this name. Raises TimezoneError with the most similar name as hint."""
    if not is_zone(name):
        message = f"timezone {name[:64]!r}: is not an IANA timezone that this machine knows"
        raise TimezoneError(message, field="timezone", text=name, hint=_nearest_zone(name))
    return ZoneInfo(name)


def _nearest_zone(name: str) -> str:
    import difflib
    from zoneinfo import available_timezones

    known = sorted(name for name in available_timezones() if name.lower() not in _NOT_IANA)
    folded = name.casefold().replace(" ", "_")
    similar = [zone for zone in known if folded in (zone.casefold(), zone.casefold().rpartition("/")[2])]
    if not similar and not re.fullmatch("[A-Z]{2,5}", name):
        # An abbreviation looks like others that have quite different offsets.
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if similar:
        return f"did you mean {similar[0]}?"
    return "use an IANA name such as Europe/Madrid or UTC; abbreviations, offsets and paths are not zones"


def system_timezone() -> str:
    """The IANA name of the system's zone; UTC if it has none."""
    import logging
    import warnings

    import tzlocal

    logging.getLogger("tzlocal").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            name = tzlocal.get_localzone_name()
        except (KeyError, ValueError, OSError):
            name = None
    return name if name and is_zone(name) else "UTC"


def readings(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants of a wall time for fold 0 and 1 (PEP 495).

    They are equal if the clock shows it once, ascending if twice, descending if never.
    """
    return (
        wall.replace(tzinfo=zone, fold=0).astimezone(UTC),
        wall.replace(tzinfo=zone, fold=1).astimezone(UTC),
    )


def gap_end(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first whole minute on the clock after the gap that contains `wall`."""
    after, before = (int(reading.timestamp()) for reading in readings(wall, zone))
    old = datetime.fromtimestamp(before, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    local = datetime.fromtimestamp(after, zone)
    return datetime.fromtimestamp(after + (60 - local.second) % 60, UTC)
