"""Checks the words of a command line before any command sees them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.errors import UsageError
from core.strict_json import excerpt

#: Longer than a path may be (PATH_MAX of Linux), and than any name, instant or schedule.
LONGEST = 4096
#: Commands whose words are the fields of a job: what may be in them, and how long they may be, is checked there.
_FREE = ("register-job", "edit-job")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_NOT_UTF8 = re.compile("[\ud800-\udfff]")


def check(words: Sequence[str]) -> None:
    """Checks what follows the name of a command; a wrong name is reported with the right one.

    Raises `UsageError` for bytes that are not UTF-8, for control characters, and for words that are far too long."""
    is_free = any(word in _FREE for word in words[:2])
    for number, word in enumerate(words):
        if number == 0 and not word.startswith("-"):
            continue
        if word.isprintable() and len(word) <= LONGEST:
            continue
        name = _name(words, number)
        if _NOT_UTF8.search(word):
            raise UsageError(f"{name} is not UTF-8: {excerpt(word)}", hint="Write it in UTF-8, as .jobs.json is.")
        if is_free:
            continue
        if match := _CONTROL.search(word):
            message = f"{name} contains the control character U+{ord(match[0]):04X}: {excerpt(word)}"
            raise UsageError(message, hint="Remove it; it may have been copied with the text.")
        if len(word) > LONGEST:
            message = f"{name} has {len(word)} characters: {excerpt(word)}"
            raise UsageError(message, hint=f"At most {LONGEST} are possible here.")


def _name(words: Sequence[str], number: int) -> str:
    """How an error calls a word: as the value of its option, or as an argument."""
    option, equals, _ = words[number].partition("=")
    if equals and re.fullmatch("--[a-z-]+", option):
        return option
    before = words[number - 1] if number else ""
    return before if re.fullmatch("--[a-z-]+", before) else "An argument"
