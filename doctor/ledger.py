"""Compares the rows of runs with what runs have left: folders in `runs/`, and lines in `events.jsonl`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from core.job import SCHEDULER_ID
from core.listing import listed
from doctor.findings import Finding, fine, warning
from doctor.scene import Scene

SUBJECT = "ledger"
#: The most folders, and the most bytes of events, that are looked at: the newest.
MOST_FOLDERS = 20_000
MOST_BYTES = 4 << 20


def check(scene: Scene) -> Iterator[Finding]:
    """Whether each run that left something has a row. A database that was replaced or restored lacks some."""
    settings = scene.need_settings
    # What is there is listed before the rows are read: a run has its row before it has a folder.
    folders = dict(folders_of(settings.runs_folder))
    events = dict(events_of(settings.local_events))
    ledger = scene.need_store.retention
    missing = {run_id for run_id in folders if not ledger.run_exists(run_id)}
    # The rows of old runs are deleted, but their events stay in the file.
    missing |= {
        run_id
        for run_id, (job_id, ts) in events.items()
        if not ledger.run_exists(run_id) and ledger.is_kept(job_id, ts)
    }
    if not missing:
        yield fine(SUBJECT, f"Each of {len(folders)} folders and {len(events)} events has the row of its run")
        return
    names = sorted(missing)
    text = f"Runs that left a folder or an event, but have no row: {listed(names)}"
    fix = (
        "The database was replaced, restored from an older copy, or lost its -wal file: their results are lost, and"
        " their slots may have run again. What they printed is in runs/; `prune` deletes it after a day."
    )
    yield warning("RUNS_WITHOUT_ROW", SUBJECT, text, fix)


def folders_of(runs: Path) -> Iterator[tuple[str, str]]:
    """`(run_id, job_id)` of the folders of runs."""
    left = MOST_FOLDERS
    for job in _entries(runs):
        # The folders of the program `invoker.py` have no rows.
        if job.name.startswith("_") or not job.is_dir(follow_symlinks=False):
            continue
        for run in sorted(_entries(Path(job.path)), key=lambda entry: entry.name, reverse=True)[:left]:
            if run.is_dir(follow_symlinks=False) and run.name.startswith(f"{job.name}-"):
                left -= 1
                yield run.name, job.name


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        # Other checks report a folder that can't be read.
        return


def events_of(file: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """`(run_id, (job_id, ts))` of the newest events in the file."""
    try:
        with open(file, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOFOLLOW)) as lines:
            size = os.fstat(lines.fileno()).st_size
            lines.seek(max(0, size - MOST_BYTES))
            data = lines.read(MOST_BYTES)
    except OSError:
        return
    for line in data.splitlines():
        try:
            event = json.loads(line)
            run_id, job_id, ts = (event[key] for key in ("run_id", "job_id", "ts"))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if all(isinstance(text, str) for text in (run_id, job_id, ts)) and job_id != SCHEDULER_ID:
            yield run_id, (job_id, ts)
