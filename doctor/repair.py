"""A damaged database → a copy of it put aside, and a new one in its place. Only on `doctor --repair`.

The new one is written into the same file, under the lock by which SQLite itself keeps others out. A process that opened
the file and waits then finds the new database, and not an old one beside a new -wal.
Source: sqlite.org, "How To Corrupt An SQLite Database File", 2.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from core.errors import CronError, DatabaseCorrupt, DatabaseError
from doctor.database import SUBJECT, look
from doctor.findings import Finding, error, fine, of_error, warning
from doctor.scene import Scene

#: The bytes that SQLite locks: pending, reserved and shared. Source: sqlite.org/fileformat.html, "The Lock-Byte Page".
_LOCK_START, _LOCK_LENGTH = 0x40000000, 512
_BESIDE = ("-wal", "-shm")
_CHUNK = 1 << 20
#: The first bytes of a database say that it is one.
_HEADER = 100


@dataclass(frozen=True)
class Rebuilt:
    """What a repair did."""

    quarantine: str
    jobs: int
    runs: int
    events: int


def repair(scene: Scene) -> list[Finding]:
    """Repairs the database if it is damaged, and says what was done. Anything else is left as it is."""
    path = str(scene.need_settings.db_path)
    damage = _damage(path)
    if isinstance(damage, Finding):
        return [damage]
    try:
        with _alone(path) as descriptor:
            done = _rebuild(scene, path, descriptor)
    except CronError as wrong:
        return [of_error(SUBJECT, wrong), _unchanged(path)]
    except BlockingIOError:
        text = f"{path} is held open by another process, a tick or a run; nothing was changed"
        fix = f"Take the line out of the crontab, wait for what runs (fuser {path}), then repair."
        return [error("REPAIR_DATABASE_IN_USE", SUBJECT, text, fix)]
    except OSError as wrong:
        text = f"{path} can't be repaired: {wrong.filename or path}: {wrong.strerror}"
        fix = "Make room for two more copies of it, and let this user write there. A copy that was made is kept."
        return [error("REPAIR_FAILED", SUBJECT, text, fix)]
    text = (
        f"{path} was damaged ({damage}). It is kept as {done.quarantine}. The new one has {done.jobs} jobs from"
        f" .jobs.json, whose next runs start from now, and of the history what could still be read: {done.runs} runs,"
        f" {done.events} events. Counts of failures and pauses are in the kept file only"
    )
    return [warning("DATABASE_REPAIRED", SUBJECT, text, "Remove the kept file when you don't need it any more.")]


def _damage(path: str) -> str | Finding:
    """What is damaged; a finding when there is nothing to repair, or something that a repair does not cure."""
    try:
        _, _, damage = look(path)
    except DatabaseCorrupt as wrong:
        return str(wrong.details.get("sqlite") or wrong.message)
    except DatabaseError as wrong:
        return warning("NOTHING_TO_REPAIR", SUBJECT, f"{wrong.message}: --repair is not for this", wrong.hint)
    return "; ".join(damage) or fine(SUBJECT, f"{path} is whole: nothing to repair")


def _unchanged(path: str) -> Finding:
    return error("REPAIR_FAILED", SUBJECT, f"{path} was not repaired, and nothing was changed", "Correct that first.")


@contextmanager
def _alone(path: str) -> Iterator[int]:
    """The open file, with all others kept out. Raises BlockingIOError when somebody has the database open.

    No other descriptor of this file may be closed inside: the system would drop the lock with it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_LENGTH, _LOCK_START)
        yield descriptor
    finally:
        os.close(descriptor)


def _rebuild(scene: Scene, path: str, descriptor: int) -> Rebuilt:
    stamp = scene.now.strftime("%Y%m%dT%H%M%SZ")
    kept = _put_aside(path, descriptor, stamp)
    fresh = f"{path}.rebuilt-{stamp}"
    try:
        jobs, runs, events = _make(scene, fresh, kept[0])
    except BaseException:
        # The damaged file is as it was, so its copy is of no use.
        _remove(*kept, *_all_of(fresh))
        raise
    # An old -wal would be played into the new database. Its copy is made.
    _remove(*_all_of(path)[1:])
    _write_over(descriptor, fresh)
    _remove(*_all_of(fresh), *(name for name in _all_of(kept[0]) if name not in kept))
    return Rebuilt(kept[0], jobs, runs, events)


def _all_of(path: str) -> list[str]:
    return [path, *(path + suffix for suffix in _BESIDE)]


def _remove(*paths: str) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _put_aside(path: str, descriptor: int, stamp: str) -> list[str]:
    """Copies the database and what is beside it, never over another file; the copies' paths. Raises OSError."""
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
    return made


def _copy(source: int, to: str) -> None:
    """The whole of an open file into a new one, made durable."""
    target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(target, "wb") as file:
        place = 0
        while data := os.pread(source, _CHUNK, place):
            file.write(data)
            place += len(data)
        file.flush()
        os.fsync(file.fileno())


def _make(scene: Scene, fresh: str, quarantine: str) -> tuple[int, int, int]:
    """A new database at `fresh`, all of it in that one file: how many jobs, rows of runs and events it has."""
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


def _write_over(descriptor: int, fresh: str) -> None:
    """The new database in the place of the old one, in the same file.

    Its header comes last, so that what a crash leaves is no database, and never a mixture that looks like one.
    """
    _write(descriptor, bytes(_HEADER), 0)
    os.fsync(descriptor)
    place = _HEADER
    with open(fresh, "rb") as file:
        header = file.read(_HEADER)
        while data := file.read(_CHUNK):
            _write(descriptor, data, place)
            place += len(data)
    os.ftruncate(descriptor, place)
    os.fsync(descriptor)
    _write(descriptor, header, 0)
    os.fsync(descriptor)


def _write(descriptor: int, data: bytes, place: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, place)
        place, data = place + written, data[written:]
