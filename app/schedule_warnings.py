"""Warnings about schedules that are valid, and probably do something else than was meant."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from core.listing import listed

if TYPE_CHECKING:
    from app.app import App
    from reports.health import WarningEntry


def schedule_warnings(app: App, jobs: Iterable[tuple[str, str]]) -> list[WarningEntry]:
    """Warnings about these jobs, each given as its name and schedule."""
    known = list(jobs)
    return [*_needs_daemon(app, known), *_lone_steps(known)]


def _needs_daemon(app: App, jobs: list[tuple[str, str]]) -> list[WarningEntry]:
    """A warning about those jobs that want the daemon, which is not there; or none.

    It is there if it runs, or if its systemd unit is installed.
    """
    from schedules.calendar import is_under_a_minute

    names = [job_id for job_id, schedule in jobs if is_under_a_minute(schedule)]
    if not names or app.daemon_state()["running"] or _has_daemon_unit(app):
        return []
    message = (
        f"{listed(names)}: an interval under a minute wants the daemon."
        " A tick each minute runs only the newest slot of each minute, and misses the others."
    )
    hint = "Run python3 main.py install-systemd --daemon, or start python3 main.py daemon; or use @every 1m or more."
    return [{"code": "NEEDS_DAEMON", "message": message, "hint": hint}]


def _has_daemon_unit(app: App) -> bool:
    from install.units import DAEMON_SERVICE, user_folder

    unit = os.path.join(user_folder(app.environ), DAEMON_SERVICE)
    try:
        with open(unit, encoding="utf-8", errors="replace") as file:
            return app.root in file.read(1 << 16)
    except OSError:
        return False


def _lone_steps(jobs: list[tuple[str, str]]) -> list[WarningEntry]:
    """A warning about steps that leave one value, like `*/90` in the minutes; or none."""
    from schedules.calendar import lone_steps

    found = [(job_id, text) for job_id, schedule in jobs for text in lone_steps(schedule)]
    if not found:
        return []
    message = listed([f"{job_id}: {text}" for job_id, text in found])
    hint = "For an interval that does not divide the hour or the day, write @every 90m. Else write the value itself."
    return [{"code": "STEP_DOUBTFUL", "message": message, "hint": hint}]
