"""Folders and files that are written, and the space that is left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from doctor.findings import Finding, error, fine, warning
from doctor.scene import Scene
from store.last_tick import file_of as last_tick_file

SUBJECT = "places"
#: Below the first, runs will soon fail; below the second, they do.
LOW_BYTES = 100 * 1024 * 1024
NONE_BYTES = 8 * 1024 * 1024
LOW_FILES = 1_000


def check(scene: Scene) -> Iterator[Finding]:
    """What the program writes can be written, and there is room for it."""
    settings = scene.need_settings
    folders = [settings.db_path.parent, settings.runs_folder, settings.local_events.parent]
    files = [settings.db_path, Path(last_tick_file(str(settings.db_path))), settings.local_events]
    if settings.telegram_path.is_dir():
        folders.append(settings.telegram_outbox.parent)
        files.append(settings.telegram_outbox)
    yield from writable(folders, files)
    yield from space([existing(folder) for folder in folders])
    yield fine(SUBJECT, f"Looked at {', '.join(str(folder) for folder in folders)}")


def writable(folders: list[Path], files: list[Path]) -> Iterator[Finding]:
    """A folder that is missing is made when it is needed, so it is its nearest existing parent that counts."""
    for folder in folders:
        found = existing(folder)
        if not found.is_dir():
            text = f"{found} is no folder, but {folder} is needed"
            yield error("FOLDER_UNWRITABLE", SUBJECT, text, f"Move {found} away.")
        elif not os.access(found, os.W_OK | os.X_OK):
            text = f"This user can't write to {found}" + ("" if found == folder else f", where {folder} is to be made")
            yield error("FOLDER_UNWRITABLE", SUBJECT, text, f"Let it write there: ls -ld {found}")
    for path in files:
        if os.path.islink(path):
            text = f"{path} is a link, and nothing is written through one"
            yield error("FILE_UNWRITABLE", SUBJECT, text, "Put the file itself in its place.")
        elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
            yield error("FILE_UNWRITABLE", SUBJECT, f"This user can't write {path}", f"See its owner: ls -l {path}")


def space(folders: list[Path]) -> Iterator[Finding]:
    """Room on each disk that is written to."""
    disks = {os.stat(folder).st_dev: folder for folder in reversed(folders)}
    for folder in disks.values():
        free, files = shutil.disk_usage(folder).free, os.statvfs(folder)
        yield from room(folder, free, files.f_favail if files.f_files else None)


def room(folder: Path, free: int, files: int | None) -> Iterator[Finding]:
    """What to say of so many free bytes, and of so many free files (None where they are not counted)."""
    fix = "Free some space; see `python3 main.py prune --dry-run`."
    if free < NONE_BYTES:
        yield error("NO_SPACE", SUBJECT, f"The disk of {folder} has only {free // 1024} KiB left", fix)
    elif free < LOW_BYTES:
        yield warning("SPACE_LOW", SUBJECT, f"The disk of {folder} has only {free // 1024**2} MiB left", fix)
    if files is not None and files < LOW_FILES:
        yield warning("SPACE_LOW", SUBJECT, f"The disk of {folder} has room for only {files} more files", fix)


def existing(path: Path) -> Path:
    """The path, or the nearest one above it that exists."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path
