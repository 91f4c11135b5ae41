"""A pipe of this process to itself, by which a signal handler or another thread wakes a loop that polls."""

from __future__ import annotations

import os
from contextlib import suppress


class SelfPipe:
    """`descriptor` is readable from `wake` until `clear`. Neither end ever blocks. Source: D. J. Bernstein."""

    def __init__(self) -> None:
        """Raises OSError when the process has no descriptor left."""
        self.descriptor, self.writer = os.pipe()
        for end in (self.descriptor, self.writer):
            os.set_blocking(end, False)

    def wake(self) -> None:
        """From any thread or signal handler, any number of times; also after `close`."""
        with suppress(OSError):
            # A full pipe is readable already; a closed one has nobody to wake.
            if self.writer >= 0:
                os.write(self.writer, b"!")

    def clear(self) -> bytes:
        """Makes it silent until the next `wake`; what was written into it."""
        found = b""
        with suppress(BlockingIOError):
            while data := os.read(self.descriptor, 4096):
                found += data
        return found

    def close(self) -> None:
        """Gives both ends back, once."""
        ends = (self.descriptor, self.writer)
        self.descriptor = self.writer = -1
        for end in ends:
            if end >= 0:
                os.close(end)
