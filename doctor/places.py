"""Checks of the folders and files that the program writes, and of the free space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from core import log
from core.shell import quoted
from doctor.findings import Finding, error, fine, warning
from doctor.scene import Scene
from store.last_tick import file_of as last_tick_file

SUBJECT = "places"
#: Free bytes below which runs will soon fail, and below which they fail now.
LOW_BYTES = 100 * 1024 * 1024
NONE_BYTES = 8 * 1024 * 1024
LOW_FILES = 1_000


def check(scene: Scene) -> Iterator[Finding]:
    """Whether all folders and files can be written, and whether there is space."""
    settings = scene.need_settings
    folders = [settings.db_path.parent, settings.runs_folder, settings.local_events.parent]
    log_file = settings.db_path.parent / log.FILE
    files = [settings.db_path, Path(last_tick_file(str(settings.db_path))), log_file, settings.local_events]
    files.append(scene.root / ".jobs.json.lock")
    if os.path.isdir(settings.telegram_path):
        folders.append(settings.telegram_outbox.parent)
        files.append(settings.telegram_outbox)
    yield from writable(folders, files)
    yield from space([existing(folder) for folder in folders])
    yield fine(SUBJECT, f"Checked {', '.join(str(folder) for folder in folders)}")


def writable(folders: list[Path], files: list[Path]) -> Iterator[Finding]:
    """Whether they can be written. A missing folder is made when needed, so its nearest existing parent is checked."""
    for folder in folders:
        parent = existing(folder)
        if not os.path.isdir(parent):
            text = f"{parent} is not a folder, but {folder} is needed"
            yield error("FOLDER_UNWRITABLE", SUBJECT, text, f"Move {parent} away.")
        elif not os.access(parent, os.W_OK | os.X_OK):
            text = f"This user can't write to {parent}" + ("" if parent == folder else f", where {folder} is needed")
            yield error("FOLDER_UNWRITABLE", SUBJECT, text, f"Give it the permission; see: ls -ld {quoted(parent)}")
    for path in files:
        if os.path.islink(path):
            text = f"{path} is a symbolic link; the program does not write through links"
            yield error("FILE_UNWRITABLE", SUBJECT, text, "Replace the link by the file itself.")
        elif os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
            text = f"This user can't read and write {path}"
            yield error("FILE_UNWRITABLE", SUBJECT, text, f"Give it the permission; see: ls -l {quoted(path)}")


def space(folders: list[Path]) -> Iterator[Finding]:
    """The free space on each disk that the folders are on."""
    disks = {os.stat(folder).st_dev: folder for folder in reversed(folders)}
    for folder in disks.values():
        free, files = shutil.disk_usage(folder).free, os.statvfs(folder)
        yield from shortage(folder, free, files.f_favail if files.f_files else None)


def shortage(folder: Path, free: int, files: int | None) -> Iterator[Finding]:
    """Whether `free` bytes and `files` more files are enough; `files` is None where they are not limited."""
    fix = "Free some space; see `python3 main.py prune --dry-run`."
    if free < NONE_BYTES:
        yield error("NO_SPACE", SUBJECT, f"The disk of {folder} has only {free // 1024} KiB left", fix)
    elif free < LOW_BYTES:
        yield warning("SPACE_LOW", SUBJECT, f"The disk of {folder} has only {free // 1024**2} MiB left", fix)
    if files is not None and files < LOW_FILES:
        yield warning("SPACE_LOW", SUBJECT, f"The disk of {folder} has room for only {files} more files", fix)


def existing(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path
