"""Takes terminals' escape codes, and other characters that are no text, out of what programs print."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Control sequences (CSI), strings with their terminator (OSC, DCS, SOS, PM, APC), and the short ones; then single
#: control characters but tab and line ends. Source: ECMA-48. What is cut off at the end of a text is removed too; a
#: string without a terminator only loses its introducer, because nobody can say where it ends.
_CODES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])(?:[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\\\|\x9c))?"
    "|\x1b[ -/]*[0-~]?"
    "|[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"
)


def without_codes(text: str) -> str:
    """The text without escape codes and control characters. Tabs, line feeds and carriage returns stay."""
    return _CODES.sub("", text)


def plain(value: object) -> object:
    """A JSON value with `without_codes` applied to all of its strings, also to keys."""
    if isinstance(value, str):
        return without_codes(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {without_codes(key) if isinstance(key, str) else key: plain(item) for key, item in value.items()}
    return value
