"""Why this user may not use a file: which file or folder is in the way, whose it is, and what to do."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.shell import quoted


class Obstacle(NamedTuple):
    """What is in the way: its path, a sentence that continues "… can't be read: ", and a hint with a command."""

    path: str
    sentence: str
    hint: str


def obstacle(path: str, *, write: bool, beside: Sequence[str] = ()) -> Obstacle | None:
    """What keeps this user from reading, or with `write` from reading and writing, the file at `path`.

    With `write` its folder, or the nearest one that exists, must be writable too, and so must `beside`: files that are
    used together with it. None if permissions are not the reason.
    """
    for part, needed in _parts(path, write=write, beside=beside):
        try:
            status = os.stat(part)
        except OSError:
            continue
        if needed == os.X_OK and not stat.S_ISDIR(status.st_mode):
            return None
        if not os.access(part, needed):
            return _obstacle(part, status, "it" if part == path else part)
    return None


def _parts(path: str, *, write: bool, beside: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Everything that must be permitted, from the top: its path, and the permissions for `os.access`."""
    parents, part = [], os.path.dirname(os.path.abspath(path))
    while part not in parents:
        parents.append(part)
        part = os.path.dirname(part)
    yield from ((parent, os.X_OK) for parent in reversed(parents))
    needed = os.R_OK | os.W_OK if write else os.R_OK
    yield path, needed
    if write:
        yield from ((other, needed) for other in beside)
        # Where the folder is missing, it must be possible to make it.
        nearest = next((parent for parent in parents if os.path.lexists(parent)), "/")
        yield nearest, os.W_OK | os.X_OK


def _obstacle(path: str, status: os.stat_result, called: str) -> Obstacle:
    me, owner, mode = name_of(os.geteuid()), name_of(status.st_uid), f"{stat.S_IMODE(status.st_mode):03o}"
    is_mine = status.st_uid == os.geteuid()
    sentence = f"{called} belongs to {owner} (mode {mode}), and you are {'the same user' if is_mine else me}"
    if is_mine:
        # A folder needs all three; a file is not to become executable.
        return Obstacle(path, sentence, f"Run: chmod u+rw{'x' * stat.S_ISDIR(status.st_mode)} {quoted(path)}")
    return Obstacle(path, sentence, f"Give it to this user: sudo chown {quoted(me)} {quoted(path)}")


def is_missing(path: str) -> bool:
    """Whether nothing is at `path`. Where this user may not look, something may be there: then False."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def name_of(uid: int) -> str:
    """The name of a user; its number for one that this machine does not know."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
