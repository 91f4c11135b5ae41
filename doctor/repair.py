"""`doctor --repair`: keeps a copy of a damaged database, and writes a new one in its place.

The new database is written into the same file, under the lock that SQLite itself uses. A process that has the file open
and waits for that lock then reads the new database, and not the old one with a new -wal.
Source: sqlite.org, "How To Corrupt An SQLite Database File", section 2.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from core.durable import sync_folder
from core.errors import CronError, DatabaseCorrupt, DatabaseError
from doctor.database import SUBJECT, inspect
from doctor.findings import Finding, error, fine, of_error, warning
from doctor.scene import Scene

#: The bytes that SQLite locks: pending, reserved and shared. Source: sqlite.org/fileformat.html, "The Lock-Byte Page".
_LOCK_START, _LOCK_LENGTH = 0x40000000, 512
_SUFFIXES = ("-wal", "-shm")
_CHUNK = 1 << 20
#: The length of the header, by which SQLite recognises a database. Source: sqlite.org/fileformat.html.
_HEADER = 100


@dataclass(frozen=True)
class Rebuilt:
    """What a repair did: the path of the kept copy, and the numbers of jobs and rows in the new database."""

    quarantine: str
    jobs: int
    runs: int
    events: int


def repair(scene: Scene) -> list[Finding]:
    """Repairs the database if it is damaged; else changes nothing. The findings say what was done."""
    path = str(scene.need_settings.db_path)
    damage = _damage(path)
    if isinstance(damage, Finding):
        return [damage]
    try:
        with _alone(path) as descriptor:
            rebuilt = _rebuild(scene, path, descriptor)
    except CronError as failure:
        return [of_error(SUBJECT, failure), _unchanged(path)]
    except BlockingIOError:
        text = f"Another process has {path} open, perhaps a tick or a run; nothing was changed"
        fix = f"Remove the line from the crontab, wait for what is running (fuser {path}), then repair."
        return [error("REPAIR_DATABASE_IN_USE", SUBJECT, text, fix)]
    except OSError as failure:
        text = f"{path} can't be repaired: {failure.filename or path}: {failure.strerror}"
        fix = "Free space for two more copies of it, and let this user write there. A copy that was made is kept."
        return [error("REPAIR_FAILED", SUBJECT, text, fix)]
    text = (
        f"{path} was damaged ({damage}), and was replaced. The damaged file is kept as {rebuilt.quarantine}. The new"
        f" one has {rebuilt.jobs} jobs from .jobs.json, whose next runs count from now, and the part of the history"
        f" that could be read: {rebuilt.runs} runs, {rebuilt.events} events."
        " Counts of failures and pauses are only in the kept file"
    )
    return [warning("DATABASE_REPAIRED", SUBJECT, text, "Remove the kept file when you no longer need it.")]


def _damage(path: str) -> str | Finding:
    """What is damaged; a finding if there is nothing to repair, or if a repair would not help."""
    try:
        _, _, damage = inspect(path)
    except DatabaseCorrupt as failure:
        return str(failure.details.get("sqlite") or failure.message)
    except DatabaseError as failure:
        return warning("NOTHING_TO_REPAIR", SUBJECT, f"{failure.message}: --repair does not help here", failure.hint)
    return "; ".join(damage) or fine(SUBJECT, f"{path} is undamaged: nothing to repair")


def _unchanged(path: str) -> Finding:
    text = f"{path} was not repaired, and nothing was changed"
    return error("REPAIR_FAILED", SUBJECT, text, "Fix the other error first.")


@contextmanager
def _alone(path: str) -> Iterator[int]:
    """Opens and locks the file, so that no other process can use it; yields the descriptor.

    Raises BlockingIOError if another process has the database open. While it is locked, this process must not close
    another descriptor of the file: the system would release the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_LENGTH, _LOCK_START)
        yield descriptor
    finally:
        os.close(descriptor)


def _rebuild(scene: Scene, path: str, descriptor: int) -> Rebuilt:
    stamp = scene.now.strftime("%Y%m%dT%H%M%SZ")
    kept = _keep_copy(path, descriptor, stamp)
    fresh = f"{path}.rebuilt-{stamp}"
    try:
        jobs, runs, events = _make(scene, fresh, kept[0])
    except BaseException:
        # The damaged file is unchanged, so its copy is not needed.
        _remove(*kept, *_all_of(fresh))
        raise
    # SQLite would apply the old -wal to the new database. A copy of it is kept.
    _remove(*_all_of(path)[1:])
    _overwrite(descriptor, fresh)
    _remove(*_all_of(fresh), *(name for name in _all_of(kept[0]) if name not in kept))
    return Rebuilt(kept[0], jobs, runs, events)


def _all_of(path: str) -> list[str]:
    return [path, *(path + suffix for suffix in _SUFFIXES)]


def _remove(*paths: str) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _keep_copy(path: str, descriptor: int, stamp: str) -> list[str]:
    """Copies the database, its -wal and its -shm to new files; returns their paths. Raises OSError."""
    number, copy = 1, f"{path}.corrupt-{stamp}"
    while any(os.path.lexists(name) for name in _all_of(copy)):
        number += 1
        copy = f"{path}.corrupt-{stamp}-{number}"
    made = [copy]
    try:
        _copy(descriptor, copy)
        for source, name in zip(_all_of(path)[1:], _all_of(copy)[1:], strict=True):
            if os.path.lexists(source):
                made.append(name)
                with open(os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
                    _copy(file.fileno(), name)
    except BaseException:
        _remove(*made)
        raise
    sync_folder(os.path.dirname(path))
    return made


def _copy(source: int, to: str) -> None:
    """Copies an open file to a new one, and flushes it to the disk."""
    target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(target, "wb") as file:
        offset = 0
        while data := os.pread(source, _CHUNK, offset):
            file.write(data)
            offset += len(data)
        file.flush()
        os.fsync(file.fileno())


def _make(scene: Scene, fresh: str, quarantine: str) -> tuple[int, int, int]:
    """Makes a new database in the single file `fresh`; returns its numbers of jobs, runs and events."""
    from app.session import Session
    from store.bundle import Store
    from store.creation import create
    from store.salvage import salvage_events, salvage_runs

    db, _ = create(fresh)
    store = Store(db)
    try:
        Session(scene.app, store).sync_jobs(scene.now, allow_removals=True)
        runs = salvage_runs(quarantine, db)
        events = salvage_events(quarantine, db)
        jobs = len(store.definitions.active())
        db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        store.close()
    return jobs, runs, events


def _overwrite(descriptor: int, fresh: str) -> None:
    """Writes the new database over the old one, in the same file.

    The header is written last: a crash leaves a file that is not a database, and never a mixture that looks like one.
    """
    _write(descriptor, bytes(_HEADER), 0)
    os.fsync(descriptor)
    offset = _HEADER
    with open(fresh, "rb") as file:
        header = file.read(_HEADER)
        while data := file.read(_CHUNK):
            _write(descriptor, data, offset)
            offset += len(data)
    os.ftruncate(descriptor, offset)
    os.fsync(descriptor)
    _write(descriptor, header, 0)
    os.fsync(descriptor)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        offset, data = offset + written, data[written:]
