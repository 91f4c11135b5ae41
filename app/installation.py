"""This installation: the ID of its database, and the crontab line that starts its ticks.

Nothing here raises for a database or a crontab that can't be read: it is for messages that must come all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.boundary import Failure, guarded
from core.clock import utc_text
from reports.health import TickLine, instant

if TYPE_CHECKING:
    from app.app import App

#: Key of the state row with the installation: `id`, and `crontab_at`, when its line was put into the crontab.
FACT = "installation"
_ETC = "/etc"


@dataclass(frozen=True)
class Installation:
    """The ID of a database ("" if it has none yet, or can't be read), and when the crontab got its line."""

    database: str = ""
    crontab_at: datetime | None = None


def known(app: App) -> Installation:
    """What is stored. Reads only."""

    def read() -> Installation:
        with app.session(read_only=True) as session:
            return _of(session.store.state.get_fact(FACT) or {})

    found = guarded(read)
    return Installation() if isinstance(found, Failure) else found


def identified(app: App) -> Installation:
    """What is stored, with an ID: a database that has none gets one now."""
    found = known(app)
    return found if found.database else _stored(app, found)


def in_crontab(app: App, at: datetime | None) -> None:
    """Stores when the line was put into the crontab; None: it was removed."""
    _stored(app, Installation(known(app).database, at))


def tick_line(app: App, installed_at: datetime | None) -> TickLine | None:
    """The first line of a crontab that starts this copy's tick; None if there is none, or it can't be found out."""
    from install.crontab_machine import is_here, of_system, of_user
    from install.crontab_program import read_crontab

    def first() -> TickLine | None:
        text = guarded(lambda: read_crontab(app.environ, timeout_sec=2))
        starts = [*([] if isinstance(text, Failure) else of_user(text)), *of_system(_ETC)]
        here = (start for start in starts if start.ticks and is_here(start, Path(app.root)))
        return next((TickLine(start.source, installed_at) for start in here), None)

    line = guarded(first)
    return None if isinstance(line, Failure) else line


def _stored(app: App, wanted: Installation) -> Installation:
    from uuid import uuid4

    def write() -> Installation:
        with app.session() as session, session.store.db.transaction("sync"):
            # Another process may have made an ID meanwhile.
            database = _of(session.store.state.get_fact(FACT) or {}).database or uuid4().hex[:16]
            at = utc_text(wanted.crontab_at) if wanted.crontab_at is not None else None
            session.store.state.set_fact(FACT, {"id": database, "crontab_at": at})
            return Installation(database, wanted.crontab_at)

    stored = guarded(write)
    return wanted if isinstance(stored, Failure) else stored


def _of(fact: dict[str, object]) -> Installation:
    return Installation(str(fact.get("id") or ""), instant(str(fact.get("crontab_at") or "")))
