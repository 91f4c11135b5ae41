"""How commands print: all output on stdout goes through this module."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence

from core import streams
from core.errors import OutputUnwritable
from core.strict_json import escape_hidden


def print_json(value: Mapping[str, object]) -> None:
    """Prints one JSON object on stdout, in UTF-8: on one line for programs, indented on a terminal.

    Infinity and NaN, which JSON does not have, become null (RFC 8259, section 6). If the reader closes the pipe early
    (head, less), that is not an error. Raises `OutputUnwritable`.
    """
    print_text([json_text(value, indent=2 if sys.stdout.isatty() else None)])


def json_text(value: Mapping[str, object], indent: int | None = None) -> str:
    """A JSON object as the text that `print_json` prints."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, indent=indent, allow_nan=False)
    return escape_hidden(text)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def print_text(lines: Sequence[str], encoding: str = "utf-8") -> None:
    """Prints lines on stdout. Raises `OutputUnwritable`."""
    # Under cron the locale is C: the text layer of stdout could not encode all characters.
    data = "".join(f"{line}\n" for line in lines).encode(encoding, "backslashreplace")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        refused = lost(error)
        if refused is not None:
            raise refused from error


def lost(error: OSError) -> OutputUnwritable | None:
    """The error to raise after stdout could not be written; None if only its reader has gone (head, less)."""
    streams.drop(sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return None
    return OutputUnwritable(f"The output can't be written to stdout: {error.strerror}")
