"""Reads the file in a target's folder that holds the prompt of a job: whole, bounded, and nowhere else."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

from core.invocation import Invocation, Prompt
from core.invocation_errors import PromptFileInvalid, PromptFileMissing
from core.job import PROMPT_LIMIT

#: No character of UTF-8 takes more bytes than this.
_LONGEST_CHARACTER = 4
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without O_NONBLOCK, opening a FIFO that has no writer would block for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def filled(invocation: Invocation, folder: Path) -> tuple[Invocation, Prompt | None]:
    """The call with the prompt of its file, and that prompt; unchanged, and None, if the job names no file.

    Raises `PromptFileMissing` or `PromptFileInvalid`.
    """
    if not invocation.prompt_file:
        return invocation, None
    prompt = read(folder, invocation.prompt_file)
    return replace(invocation, prompt_file="", request=replace(invocation.request, prompt=prompt.text)), prompt


def read(folder: Path, name: str) -> Prompt:
    """The prompt in the file `name` of a target's folder. Raises `PromptFileMissing` or `PromptFileInvalid`.

    Links are followed as long as they stay in the folder.
    """
    path = folder / name
    root, real = os.path.realpath(folder), os.path.realpath(path)
    if os.path.isabs(name) or os.path.commonpath([root, real]) != root or root == real:
        raise _invalid(path, "it is not inside the target's folder")
    try:
        data = _bytes_of(root, os.path.relpath(real, root).split(os.sep), path)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"can't be read: {error.strerror}"
        raise PromptFileMissing(
            f"the prompt file {path} {reason}",
            hint="Put it there, and let the user who runs the scheduler read it.",
            details={"file": str(path)},
        ) from None
    try:
        # A byte order mark, as editors of Windows write it, is no part of the text.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(path, f"it is not UTF-8: byte {error.start + 1}") from None
    if len(text) > PROMPT_LIMIT:
        raise _invalid(path, f"it has {len(text):,} characters; at most {PROMPT_LIMIT:,} are allowed")
    if not text.strip():
        raise _invalid(path, "it is blank" if text else "it is empty")
    if match := _CONTROL.search(text):
        raise _invalid(path, f"it contains the control character U+{ord(match[0]):04X} at position {match.start() + 1}")
    return Prompt(text, hashlib.sha256(data).hexdigest())


def _bytes_of(root: str, parts: list[str], path: Path) -> bytes:
    """The bytes of a file. Each part is opened in the one before it, so that nobody can put a link in between."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        file = os.open(parts[-1], _FILE, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _invalid(path, "it is not a regular file")
        most = PROMPT_LIMIT * _LONGEST_CHARACTER
        with open(file, "rb", closefd=False) as opened:
            data = opened.read(most + 1)
    finally:
        os.close(file)
    if len(data) > most:
        raise _invalid(path, f"it has {max(status.st_size, len(data)):,} bytes; {most:,} are the most")
    return data


def _invalid(path: Path, wrong: str) -> PromptFileInvalid:
    return PromptFileInvalid(
        f"the prompt file {path} can't be used: {wrong}",
        hint=f"Write the prompt there as UTF-8 text of at most {PROMPT_LIMIT:,} characters.",
        details={"file": str(path), "wrong": wrong},
    )
