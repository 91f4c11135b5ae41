"""Notifies systemd about the daemon: ready, reloading, alive, stopping. Does nothing if systemd did not start it.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

#: Longest wait, in seconds, for a service manager that does not read.
_TIMEOUT_SEC = 1.0


class Systemd:
    """The listener at $NOTIFY_SOCKET. No method raises or waits for long; each returns whether the message was sent."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        """`pid` is the pid of this process: the watchdog may be meant for another."""
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.alive_every_sec = _half_the_watchdog(environ, pid) if self._address else None
        """Seconds between two calls of `alive`: half of WatchdogSec. None without a watchdog."""

    @property
    def listens(self) -> bool:
        return bool(self._address)

    def ready(self, status: str = "") -> bool:
        """The start or a reload is finished."""
        return self._send("READY=1", *_status(status))

    def reloading(self, monotonic: float) -> bool:
        """A reload starts; `ready` ends it. `monotonic` is the time of the monotonic clock, in seconds."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1_000_000)}")

    def stopping(self, status: str = "") -> bool:
        """The daemon starts to stop."""
        return self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """Sets the line that `systemctl status` shows."""
        return self._send(*_status(text))

    def alive(self, status: str = "") -> bool:
        """Tells the watchdog that the daemon is alive."""
        return self._send("WATCHDOG=1", *_status(status))

    def _send(self, *lines: str) -> bool:
        if not self._address or not lines:
            return False
        import socket

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(_TIMEOUT_SEC)
                channel.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError:
            return False
        return True


def _address(text: str) -> bytes:
    """The socket's address: a path, or after @ an abstract name (Linux). b"" for any other kind."""
    if text[:1] not in ("/", "@") or len(text) < 2:
        return b""
    name = os.fsencode(text)
    return b"\0" + name[1:] if text[0] == "@" else name


def _half_the_watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    usec, watched_pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdecimal()) or (watched_pid and watched_pid != str(pid)):
        return None
    return int(usec[:18]) / 2_000_000 or None


def _status(text: str) -> tuple[str, ...]:
    # A line end would start another message.
    return (f"STATUS={' '.join(text.split())}",) if text else ()
