"""`doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from app.app import App
from commands.view import show
from core.errors import SettingsError

if TYPE_CHECKING:
    from doctor.findings import Finding
    from doctor.scene import Scene

#: Its group in `--help`, and its position in that group.
PLACE = ("Installing and checking", 50)


@click.command("doctor")
@click.option("--as-cron", is_flag=True, help="Repeat the checks in cron's environment, and mark what differs.")
@click.option(
    "--repair", is_flag=True, help="Replace a damaged database; a copy is kept, and the jobs come from .jobs.json."
)
@click.pass_obj
def command(app: App, as_cron: bool, repair: bool) -> int:
    """Check everything that jobs need to start, and say what is wrong and how to fix it.

    It checks the interpreter and its libraries, settings, clock, crontab, database, folders and permissions,
    .jobs.json, schedules, undelivered events, and the target and program of each enabled job. It changes nothing,
    except a damaged database with --repair.

    Prints lines for people, the worst first, or with --json {"status", "findings", "counts", "paths"}. Exit code 1 if
    there is an error, else 0.

    \b
    Example:
      python3 main.py doctor --as-cron
    """
    from doctor.findings import counts, worst_first

    findings = worst_first(_examined(app, as_cron=as_cron, repair=repair))
    number = counts(findings)
    report = {
        "status": "error" if number["error"] else "ok",
        "findings": [finding.as_dict() for finding in findings],
        "counts": number,
        "paths": _paths(app),
    }
    show(app, report, "doctor", elsewhere="text")
    return 1 if number["error"] else 0


def _examined(app: App, *, as_cron: bool, repair: bool) -> list[Finding]:
    from doctor.as_cron import under_cron
    from doctor.checks import examine
    from doctor.repair import repair as repair_database

    scene, findings = _scene(app)
    if repair and scene.settings is not None and not findings:
        findings += repair_database(scene)
    try:
        findings += examine(scene)
    finally:
        if scene.session is not None:
            scene.session.close()
    return findings + (under_cron(scene, findings, _paths(app)) if as_cron else [])


def _scene(app: App) -> tuple[Scene, list[Finding]]:
    """What the checks examine, and findings about wrong settings. With wrong settings a part of it is missing."""
    from doctor.scene import Scene
    from doctor.setting_faults import faults, stand_ins

    try:
        return Scene(app, app.settings), []
    except SettingsError as failure:
        replacements = stand_ins(failure)
        if replacements is None:
            return Scene(app, None), faults(failure)
        corrected = App(app.clock, {**app.environ, **replacements}, app.root)
        return Scene(corrected, corrected.settings), faults(failure)


def _paths(app: App) -> dict[str, str]:
    try:
        return {**app.paths(), "interpreter": sys.executable}
    except SettingsError:
        return {"root": app.root, "interpreter": sys.executable}
