"""Checks of `.jobs.json`: is it valid, and does the database have its jobs?"""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import CronError
from core.listing import sentences
from doctor.findings import Finding, error, fine, of_error, warning
from doctor.scene import Scene

SUBJECT = ".jobs.json"
SYNC = "Run: python3 main.py sync-jobs"


def check(scene: Scene) -> Iterator[Finding]:
    """Reads the file as a sync does, and reports its faults."""
    from jobs.jobs_file import read_jobs
    from schedules.language import check as check_schedule

    path = scene.root / ".jobs.json"

    def check_zoned(schedule: str, zone: str | None) -> None:
        check_schedule(schedule, zone or (scene.app.default_zone if scene.settings else "UTC"))

    try:
        file = read_jobs(path, check_zoned)
    except CronError as failure:
        finding = of_error(SUBJECT, failure)
        scene.file_errors.add(finding.code)
        count = failure.details.get("problem_count")
        faults = f" ({count} faults)" if isinstance(count, int) and count > 1 else ""
        fix = sentences(finding.fix, "All faults with their positions: python3 main.py sync-jobs")
        yield Finding(finding.code, finding.severity, SUBJECT, finding.message + faults, fix)
        return
    for note in file.warnings:
        yield warning(str(note["code"]), SUBJECT, str(note["message"]), "Remove it from the file.")
    yield fine(SUBJECT, f"Valid jobs in {path}: {len(file.jobs)}")


def check_step(scene: Scene) -> Iterator[Finding]:
    """Whether the database has the jobs of the file."""
    state = scene.need_session.sync_state()
    failure = state["error"]
    if isinstance(failure, dict) and isinstance(failure.get("error"), dict):
        reason = failure["error"]
        if reason.get("code") in scene.file_errors:
            # `check` has reported it.
            return
        hint = reason.get("details", {}).get("hint") if isinstance(reason.get("details"), dict) else None
        text = f"Since {failure.get('at')} the file can't be loaded: {reason.get('message')}"
        yield error(str(reason.get("code")), SUBJECT, text, str(hint or SYNC))
    elif not state["in_step"]:
        later = "the next tick loads it" if state["auto_sync"] else "and PURUTO_CRON_AUTO_SYNC is off"
        yield warning("NOT_IN_STEP", SUBJECT, f"The file has changed since the last sync; {later}", SYNC)
