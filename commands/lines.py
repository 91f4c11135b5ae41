"""The output of a command that runs for long: a line for each report, without blocking on a slow reader."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Mapping
from contextlib import suppress

from commands.output import json_text

#: A pipe that is ready accepts so many bytes without blocking. Source: POSIX, PIPE_BUF; pipe(7).
_CHUNK = select.PIPE_BUF
#: How long to wait for a slow reader, in milliseconds; after that the line is dropped.
_TIMEOUT_MS = 200


class Lines:
    """Writes lines to a descriptor. A line that can't be written is dropped; the next one is tried again."""

    def __init__(self, descriptor: int, text_of: Callable[[Mapping[str, object]], str] = json_text) -> None:
        """`text_of` makes the lines of a report."""
        self._descriptor = descriptor
        self._text_of = text_of
        self._is_cut = False

    def say(self, report: Mapping[str, object]) -> None:
        """Writes one line. It never raises because of the descriptor, and never blocks for long."""
        data = f"{self._text_of(report)}\n".encode("utf-8", "backslashreplace")
        if self._is_cut:
            # A new line, so that this one is not appended to the beginning of the line that was cut.
            data = b"\n" + data
        left = len(data)
        with suppress(OSError):
            while left and self._is_ready():
                left -= os.write(self._descriptor, data[-left:][:_CHUNK])
        self._is_cut = (self._is_cut and left == len(data)) or 0 < left < len(data)

    def _is_ready(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return any(event & select.POLLOUT for _, event in poll.poll(_TIMEOUT_MS))
