"""Tells systemd how the daemon is: ready, reloading, alive, stopping. Silent when systemd did not start it.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

#: A service manager that does not read holds us up no longer than this, in seconds.
_TIMEOUT_SEC = 1.0


class Systemd:
    """Whoever listens at $NOTIFY_SOCKET. No method raises or waits for long; each says whether it was heard."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        """`pid` is that of this process: a watchdog may be meant for another."""
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.alive_every_sec = _half_the_watchdog(environ, pid) if self._address else None
        """How often `alive` is to be said, in seconds: half of WatchdogSec. None when nobody waits for it."""

    @property
    def listens(self) -> bool:
        return bool(self._address)

    def ready(self, status: str = "") -> bool:
        """The start, or a reload, is done."""
        return self._tell("READY=1", *_status(status))

    def reloading(self, monotonic: float) -> bool:
        """A reload begins; `ready` ends it. `monotonic` is the clock's, in seconds."""
        return self._tell("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1_000_000)}")

    def stopping(self, status: str = "") -> bool:
        """The end begins."""
        return self._tell("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._tell(*_status(text))

    def alive(self, status: str = "") -> bool:
        """For the watchdog."""
        return self._tell("WATCHDOG=1", *_status(status))

    def _tell(self, *lines: str) -> bool:
        if not self._address or not lines:
            return False
        import socket

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
                there.settimeout(_TIMEOUT_SEC)
                there.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError:
            return False
        return True


def _address(text: str) -> bytes:
    """The socket's address: a path, or after @ a name of Linux' own; any other kind is none for us."""
    if text[:1] not in ("/", "@") or len(text) < 2:
        return b""
    name = os.fsencode(text)
    return b"\0" + name[1:] if text[0] == "@" else name


def _half_the_watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    usec, meant = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdecimal()) or (meant and meant != str(pid)):
        return None
    return int(usec[:18]) / 2_000_000 or None


def _status(text: str) -> tuple[str, ...]:
    # An end of line would begin another message.
    return (f"STATUS={' '.join(text.split())}",) if text else ()
