"""`.jobs.json`: good, and the one that the database knows."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import CronError
from doctor.findings import Finding, error, fine, of_error, warning
from doctor.scene import Scene

SUBJECT = ".jobs.json"
SYNC = "Run: python3 main.py sync-jobs"


def check(scene: Scene) -> Iterator[Finding]:
    """The file is read as a sync reads it."""
    from jobs.jobs_file import read_jobs
    from schedules.language import check as check_schedule

    path = scene.root / ".jobs.json"

    def known(schedule: str, zone: str | None) -> None:
        check_schedule(schedule, zone or (scene.app.default_zone if scene.settings else "UTC"))

    try:
        file = read_jobs(path, known)
    except CronError as wrong:
        found = of_error(SUBJECT, wrong)
        scene.told_of_file.add(found.code)
        more = wrong.details.get("problem_count")
        many = f" ({more} faults)" if isinstance(more, int) and more > 1 else ""
        fix = f"{found.fix + '. ' if found.fix else ''}Every fault with its place: python3 main.py sync-jobs"
        yield Finding(found.code, found.severity, SUBJECT, found.message + many, fix)
        return
    for note in file.warnings:
        yield warning(str(note["code"]), SUBJECT, str(note["message"]), "Take it out of the file.")
    yield fine(SUBJECT, f"Good jobs in {path}: {len(file.jobs)}")


def check_step(scene: Scene) -> Iterator[Finding]:
    """The stored jobs are those of the file."""
    state = scene.need_session.sync_state()
    known = state["error"]
    if isinstance(known, dict) and isinstance(known.get("error"), dict):
        told = known["error"]
        if told.get("code") in scene.told_of_file:
            # The file says so itself, above.
            return
        hint = told.get("details", {}).get("hint") if isinstance(told.get("details"), dict) else None
        text = f"Since {known.get('at')} no tick can take over the file: {told.get('message')}"
        yield error(str(told.get("code")), SUBJECT, text, str(hint or SYNC))
    elif not state["in_step"]:
        later = "the next tick takes it over" if state["auto_sync"] else "and PURUTO_CRON_AUTO_SYNC is off"
        yield warning("NOT_IN_STEP", SUBJECT, f"The file is not the one that was synced last; {later}", SYNC)
