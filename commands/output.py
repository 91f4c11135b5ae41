"""The one way in which commands print."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from core.errors import CronError, OutputUnwritable
from core.strict_json import escape_line_ends


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object and a newline on stdout: in one line for programs, indented on a terminal. Always UTF-8.

    Numbers that JSON has no word for, infinity and NaN, read null (RFC 8259, section 6).
    A reader that has seen enough (head, less) is no error. Raises `OutputUnwritable`.
    """
    print_text([json_text(value, indent=2 if sys.stdout.isatty() else None)])


def json_text(value: Mapping[str, object], indent: int | None = None) -> str:
    """One JSON object as `print_json` writes it."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, indent=indent, allow_nan=False)
    return escape_line_ends(text)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def print_text(lines: Sequence[str]) -> None:
    """Lines on stdout, always UTF-8. Raises `OutputUnwritable`."""
    # cron's locale is C: the text layer of stdout can't be trusted with what a prompt or a target says.
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python flushes once more at its end, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OutputUnwritable(f"The answer can't be written to stdout: {error.strerror}") from error


def print_error(error: CronError, mask: Callable[[Mapping[str, object]], dict[str, object]] | None = None) -> None:
    """The error as `{"status": "error", "error": {"code", "message", "details"}}`; `mask` takes secrets out of it."""
    told = error.as_dict()
    print_json({"status": "error", "error": mask(told) if mask else told})
