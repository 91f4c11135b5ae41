"""Writes the picture that `timeline --svg` names, completely or not at all, and never over a file of this program."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from typing import TypedDict

from config.settings import Settings
from core.durable import put_in_place
from core.errors import PictureUnwritable

_SVG = re.compile(rb"\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg\b", re.DOTALL)
_LONGEST_HEAD = 4096


class WrittenFile(TypedDict):
    """The path of the written picture, and its size in bytes."""

    path: str
    bytes: int


def write(settings: Settings, file: str, text: str, *, force: bool) -> WrittenFile:
    """Writes the picture. With `force` it also replaces a file that is not SVG. Raises `PictureUnwritable`."""
    # A symbolic link is kept, and its target is replaced.
    path = os.path.realpath(file)
    if os.path.lexists(path) and not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "not a regular file"
        raise PictureUnwritable(f"{file} is {kind}", hint="Name a file, or - for stdout.", details={"path": path})
    if ours := _what_it_is(settings, path):
        hint = "Name another file, outside of this folder or with a name that ends in .svg."
        raise PictureUnwritable(f"{file} is {ours}, and no picture is written there", hint=hint, details={"path": path})
    data = f"{text}\n".encode()
    try:
        if not force and not _is_svg(path):
            hint = "Name another file, or replace it with --force."
            raise PictureUnwritable(f"{file} exists and is no SVG file", hint=hint, details={"path": path})
        _replace(path, data)
    except OSError as error:
        hint = f"Let this user write to {os.path.dirname(path)}, or print it: --svg - > FILE"
        message = f"The picture {file} can't be written: {error.strerror}"
        raise PictureUnwritable(message, hint=hint, details={"path": path}) from error
    return {"path": path, "bytes": len(data)}


def _what_it_is(settings: Settings, path: str) -> str:
    """What a path without links is for this program; "" if it has nothing to do with it."""
    folder, name = os.path.split(path)
    database = settings.db_path
    is_named_like_it = name.startswith((f"{database.name}-", f"{database.name}."))
    if is_named_like_it and _is_same(folder, str(database.parent)):
        return "a file of the database"
    for own, what in _own_files(settings):
        if _is_same(path, own):
            return what
    own_folders = {
        os.path.join(settings.root, "db"): "in the folder of the database",
        str(settings.local_events.parent): "in the folder of the events",
        str(settings.runs_folder): "in the folder of the runs",
    }
    for parent in _parents(path):
        for own, what in own_folders.items():
            if _is_same(parent, own):
                return what
        if _is_same(parent, str(settings.root)) and not name.lower().endswith(".svg"):
            return "in the folder of the program"
    return ""


def _own_files(settings: Settings) -> Iterator[tuple[str, str]]:
    from core.log import FILE
    from core.log_file import KEPT

    yield str(settings.db_path), "the database"
    yield str(settings.jobs_file), "the file of jobs"
    yield str(settings.local_events), "the file of events"
    yield str(settings.telegram_outbox), "the mirror of the events"
    yield os.path.join(settings.root, ".env"), "the file of settings"
    log = str(settings.db_path.parent / FILE)
    yield log, "the log"
    yield from ((f"{log}.{number}", "the log") for number in range(1, KEPT + 1))


def _parents(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _is_same(one: str, other: str) -> bool:
    """Whether both are the same path or the same file, like a hard link."""
    if one == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _is_svg(path: str) -> bool:
    """Whether there is nothing to lose: no file, an empty one, or an SVG file. Raises OSError."""
    try:
        with open(path, "rb") as file:
            head = file.read(_LONGEST_HEAD)
    except FileNotFoundError:
        return True
    return not head or _SVG.match(head) is not None


def _replace(path: str, data: bytes) -> None:
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)[:100]}.")
    try:
        with open(handle, "wb") as out:
            out.write(data)
            out.flush()
            # With the mode that the shell's `>` would give it: the user's umask decides who may read it.
            mask = os.umask(0o077)
            os.umask(mask)
            os.fchmod(out.fileno(), 0o666 & ~mask)
            os.fsync(out.fileno())
        put_in_place(new, path)
    except BaseException:
        os.unlink(new)
        raise
