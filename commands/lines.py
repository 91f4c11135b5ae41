"""Says what a long-lived command has to say, a JSON object a line, for as long as somebody takes it."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from contextlib import suppress

from commands.output import json_text

#: So much a pipe that is ready takes at once, without a wait. Source: POSIX, PIPE_BUF; pipe(7).
_CHUNK = select.PIPE_BUF
#: A reader that is busy is waited for so long, in milliseconds; then the line is lost.
_TIMEOUT_MS = 200


class Lines:
    """Lines on a descriptor. What nobody reads any more, or no disk takes, is dropped: the next one is tried again."""

    def __init__(self, descriptor: int | None) -> None:
        """None: there is nobody to say anything to."""
        self._descriptor = descriptor
        self._is_cut = False

    def say(self, told: Mapping[str, object]) -> None:
        """Never raises for the descriptor's sake, and never waits for long."""
        if self._descriptor is None:
            return
        data = f"{json_text(told)}\n".encode("utf-8", "backslashreplace")
        if self._is_cut:
            # The rest of a line that was cut must not become the beginning of this one.
            data = b"\n" + data
        left = len(data)
        with suppress(OSError):
            while left and self._is_taken():
                left -= os.write(self._descriptor, data[-left:][:_CHUNK])
        self._is_cut = (self._is_cut and left == len(data)) or 0 < left < len(data)

    def _is_taken(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor or 1, select.POLLOUT)
        return any(event & select.POLLOUT for _, event in poll.poll(_TIMEOUT_MS))
