"""The one list of checks, and one examination."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from core.boundary import Failure, guarded
from doctor import (
    condition,
    database,
    interpreter,
    jobs,
    jobs_file,
    places,
    rights,
    setting_faults,
    starter,
    telegram,
    timing,
)
from doctor.findings import Finding, of_error, warning
from doctor.scene import Scene

Need = Literal["nothing", "settings", "store"]


@dataclass(frozen=True)
class Check:
    """A subject, what has to be sound before it can be looked at, and who looks."""

    subject: str
    need: Need
    look: Callable[[Scene], Iterator[Finding]]


#: In the order in which they are made: the database's check is the one that opens the store.
CHECKS: tuple[Check, ...] = (
    Check("interpreter", "nothing", interpreter.check),
    Check("settings", "settings", setting_faults.check),
    Check("clock", "nothing", condition.check_clock),
    Check("ticks", "settings", condition.check_tick),
    Check("daemon", "settings", condition.check_daemon),
    Check("crontab", "nothing", starter.check),
    Check("database", "settings", database.check),
    Check("places", "settings", places.check),
    Check("rights", "nothing", rights.check),
    Check(".jobs.json", "nothing", jobs_file.check),
    Check(".jobs.json in step", "store", jobs_file.check_step),
    Check("scheduler", "store", condition.check),
    Check("jobs", "store", jobs.check),
    Check("rights of targets", "store", rights.check_targets),
    Check("schedules", "store", timing.check),
    Check("puruto-telegram", "settings", telegram.check),
)


def examine(scene: Scene, checks: Iterable[Check] = CHECKS) -> list[Finding]:
    """All findings. A check that fails is one of them and stops no other."""
    found: list[Finding] = []
    left_out: list[str] = []
    for check in checks:
        if (check.need != "nothing" and scene.settings is None) or (check.need == "store" and scene.session is None):
            left_out.append(check.subject)
            continue
        outcome = guarded(lambda check=check: _gather(check.look(scene), found))  # type: ignore[misc]
        if isinstance(outcome, Failure):
            found.append(of_error(check.subject, outcome))
    if left_out:
        text = f"Not looked at, because what is needed for it is wrong itself: {', '.join(left_out)}"
        found.append(warning("NOT_LOOKED_AT", "doctor", text, "Cure what is said above, then ask again."))
    return found


def _gather(findings: Iterator[Finding], into: list[Finding]) -> None:
    # One by one, so that what was found before a check fails is kept.
    for finding in findings:
        into.append(finding)
