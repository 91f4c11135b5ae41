"""A backup from its lock to its last deletion: write under a temporary name, read back, publish, delete old ones."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from data_archive import MANIFEST, SHARED, Damaged, Entry, Written, read_members, verify_archive, write_archive
from data_protocol import Refused

BACKUPS = "backups"
PARTIAL = ".partial-"
ARCHIVE_NAME = re.compile(r"puruto-data-(\d{8}T\d{6}Z)(?:-(\d+))?(\.incomplete)?\.tar\.gz", re.ASCII)
_HINTS = {
    errno.ENOSPC: "free some space, or keep fewer backups",
    errno.EDQUOT: "free some space, or keep fewer backups",
    errno.EFBIG: "raise the limit of file sizes, or move something out of shared/",
    errno.EACCES: "let this user write into backups/",
    errno.EPERM: "let this user write into backups/",
    errno.EROFS: "make backups/ writable",
    errno.EEXIST: "backups must be a folder",
    errno.ENOTDIR: "backups must be a folder",
}


@dataclass(frozen=True)
class Comparison:
    """How many files differ between the newest complete archive before this one and this one."""

    archive: str
    added: int
    changed: int
    removed: int


@dataclass(frozen=True)
class Backup:
    """A verified archive and what became of the older ones.

    `before` is None for the first backup; `damaged` names the one before if it could not be read. `kept` counts the
    archives of this one's kind (complete, or incomplete) that are there now; `not_removed` has names with reasons.
    """

    path: Path
    written: Written
    before: Comparison | None
    damaged: str
    kept: int
    removed: tuple[str, ...]
    not_removed: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """False when something below shared/ could not be read."""
        return not self.written.notes.unreadable


def back_up(
    folder: Path,
    keep: int,
    clock: Callable[[], datetime],
    verify: Callable[[Path, Written], None] = verify_archive,
) -> Backup:
    """Back up shared/ and registry.json of `folder` into backups/, and keep the newest `keep` archives.

    `clock` gives the UTC time that names the archive; it is asked once the lock is held. `verify` raises Damaged; then
    nothing is published and nothing deleted. Raises Refused: SHARED_MISSING, SHARED_NOT_A_FOLDER, BACKUP_NOT_WRITTEN,
    ARCHIVE_DAMAGED.
    """
    _require_shared(folder / SHARED)
    backups = folder / BACKUPS
    try:
        backups.mkdir(exist_ok=True)
        with _locked(backups):
            _remove_partials(backups)
            try:
                return _back_up(folder, backups, keep, clock(), verify)
            finally:
                # By name: a signal may come when the file is there and nobody has been told its name yet.
                _remove_partials(backups)
    except Damaged as damage:
        message = "the archive does not hold what was written; it was thrown away and no older one was deleted"
        raise Refused("ARCHIVE_DAMAGED", message, {"problems": damage.problems[:20]}) from None
    except OSError as fault:
        reason = fault.strerror or str(fault)
        details = {"folder": str(backups), "reason": reason, "hint": _HINTS.get(fault.errno or 0, "")}
        raise Refused("BACKUP_NOT_WRITTEN", f"no backup was made: {backups}: {reason}", details) from None


def archives(backups: Path, complete: bool = True) -> list[str]:
    """Names of the complete, or of the incomplete, archives, newest first. Links and folders are never counted."""
    found = []
    with os.scandir(backups) as entries:
        for entry in entries:
            match = ARCHIVE_NAME.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False) and complete == (match[3] is None):
                found.append((match[1], int(match[2] or 1), entry.name))
    return [name for _, _, name in sorted(found, reverse=True)]


def _back_up(
    folder: Path, backups: Path, keep: int, moment: datetime, verify: Callable[[Path, Written], None]
) -> Backup:
    older = archives(backups)
    descriptor, partial = tempfile.mkstemp(prefix=PARTIAL, dir=backups)
    with open(descriptor, "w+b") as raw:
        written = write_archive(folder, cast(BinaryIO, raw), int(moment.timestamp()))
        _settle(raw.fileno(), raw.flush)
    verify(Path(partial), written)
    before, damaged = _compare_with(backups, older, written)
    path = _publish(Path(partial), backups, moment, complete=not written.notes.unreadable)
    kept, removed, not_removed = _retain(backups, keep, path.name, complete=not written.notes.unreadable)
    return Backup(path, written, before, damaged, kept, removed, not_removed)


def _require_shared(shared: Path) -> None:
    if shared.is_symlink():
        message = f"{shared} is a symbolic link; its content would not be saved"
        raise Refused("SHARED_NOT_A_FOLDER", message, {"folder": str(shared)})
    if not shared.exists():
        raise Refused("SHARED_MISSING", f"{shared} is missing: there is nothing to back up", {"folder": str(shared)})
    if not shared.is_dir():
        raise Refused("SHARED_NOT_A_FOLDER", f"{shared} is not a folder", {"folder": str(shared)})


@contextlib.contextmanager
def _locked(backups: Path) -> Iterator[None]:
    """One backup at a time; the kernel lets go of the lock when its owner ends, however it ends."""
    with open(backups / ".lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another backup is running; waiting for its end", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_partials(backups: Path) -> None:
    """Whoever holds the lock knows that nobody is writing these."""
    for partial in backups.glob(f"{PARTIAL}*"):
        partial.unlink()


def _settle(descriptor: int, flush: Callable[[], None]) -> None:
    """Bring the file to the disk, and have the kernel forget it, so that verifying reads the disk and not the cache."""
    flush()
    os.fsync(descriptor)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _compare_with(backups: Path, older: Sequence[str], written: Written) -> tuple[Comparison | None, str]:
    if not older:
        return None, ""
    try:
        before = _digests(read_members(backups / older[0]))
    except Damaged:
        return None, older[0]
    now = _digests(written.entries)
    changed = sum(name in before and before[name] != digest for name, digest in now.items())
    return Comparison(older[0], len(now.keys() - before.keys()), changed, len(before.keys() - now.keys())), ""


def _digests(entries: Sequence[Entry]) -> dict[str, str]:
    return {entry.name: entry.sha256 for entry in entries if entry.kind == "file" and entry.name != MANIFEST}


def _publish(partial: Path, backups: Path, moment: datetime, complete: bool) -> Path:
    """Give the archive its name, the next free one of this second, and bring the name to the disk."""
    stem = f"puruto-data-{moment:%Y%m%dT%H%M%SZ}"
    taken = {name.split(".", 1)[0] for name in os.listdir(backups)}
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    path = backups / (name + ("" if complete else ".incomplete") + ".tar.gz")
    partial.rename(path)
    descriptor = os.open(backups, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


def _retain(backups: Path, keep: int, newest: str, complete: bool) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Delete all but `keep` archives of one kind, the one just made always among them even if the clock went back.

    Incomplete archives are a kind of their own, so that they never push a complete one out.
    """
    others = [name for name in archives(backups, complete) if name != newest]
    removed, not_removed = [], []
    for name in others[keep - 1 :]:
        try:
            (backups / name).unlink()
            removed.append(name)
        except OSError as fault:
            not_removed.append(f"{name}: {fault.strerror}")
    return 1 + len(others) - len(removed), tuple(removed), tuple(not_removed)
