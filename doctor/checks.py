"""The list of all checks, and the function that makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from core.boundary import Failure, guarded
from doctor import (
    condition,
    database,
    interpreter,
    jobs,
    jobs_file,
    ledger,
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
    """A check: its subject, what must work before it can be made, and the function that makes it."""

    subject: str
    need: Need
    run: Callable[[Scene], Iterator[Finding]]


#: In the order in which they are made. The check of the database opens the session that later ones need.
CHECKS: tuple[Check, ...] = (
    Check("interpreter", "nothing", interpreter.check),
    Check("settings", "settings", setting_faults.check),
    Check("clock", "nothing", condition.check_clock),
    Check("ticks", "settings", condition.check_tick),
    Check("daemon", "settings", condition.check_daemon),
    Check("cgroup", "settings", condition.check_cgroup),
    Check("crontab", "nothing", starter.check),
    Check("database", "settings", database.check),
    Check("places", "settings", places.check),
    Check("rights", "nothing", rights.check),
    Check(".jobs.json", "nothing", jobs_file.check),
    Check(".jobs.json in step", "store", jobs_file.check_step),
    Check("scheduler", "store", condition.check),
    Check("ledger", "store", ledger.check),
    Check("jobs", "store", jobs.check),
    Check("rights of targets", "store", rights.check_targets),
    Check("schedules", "store", timing.check),
    Check("puruto-telegram", "settings", telegram.check),
)


def examine(scene: Scene, checks: Iterable[Check] = CHECKS) -> list[Finding]:
    """All findings. If a check itself fails, that is a finding too, and the other checks still run."""
    findings: list[Finding] = []
    left_out: list[str] = []
    for check in checks:
        if (check.need != "nothing" and scene.settings is None) or (check.need == "store" and scene.session is None):
            left_out.append(check.subject)
            continue
        outcome = guarded(partial(_gather, check, scene, findings))
        if isinstance(outcome, Failure):
            findings.append(of_error(check.subject, outcome))
    if left_out:
        text = f"Not checked, because the settings or the database have errors: {', '.join(left_out)}"
        findings.append(warning("NOT_LOOKED_AT", "doctor", text, "Fix the errors above, then run doctor again."))
    return findings


def _gather(check: Check, scene: Scene, into: list[Finding]) -> None:
    # One by one, so that the findings before a failure are kept.
    for finding in check.run(scene):
        into.append(finding)
