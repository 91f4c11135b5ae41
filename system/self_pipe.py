"""A self-pipe: a signal handler or another thread wakes a loop that polls. Source: D. J. Bernstein."""

from __future__ import annotations

import os
from contextlib import suppress


class SelfPipe:
    """Its `descriptor` is readable from `wake` until `clear`. Neither end blocks."""

    def __init__(self) -> None:
        """Raises OSError if the process has no descriptors left."""
        self.descriptor, self.writer = os.pipe()
        for end in (self.descriptor, self.writer):
            os.set_blocking(end, False)

    def wake(self) -> None:
        """Makes it readable. Call it from any thread or signal handler, also after `close`."""
        with suppress(OSError):
            # A full pipe is already readable; a closed one has no reader.
            if self.writer >= 0:
                os.write(self.writer, b"!")

    def clear(self) -> bytes:
        """Empties the pipe, and returns what was written into it."""
        content = b""
        with suppress(BlockingIOError):
            while data := os.read(self.descriptor, 4096):
                content += data
        return content

    def close(self) -> None:
        """Closes both ends."""
        ends = (self.descriptor, self.writer)
        self.descriptor = self.writer = -1
        for end in ends:
            if end >= 0:
                os.close(end)
