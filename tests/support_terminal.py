"""A program on a terminal of its own: what it writes there, and what a person types."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from subprocess import Popen

from tests.workspace import PATIENCE, Workspace, ended, wait_for


class Terminal:
    """The side of a pseudo terminal that people sit at."""

    def __init__(self, columns: int = 100, rows: int = 30) -> None:
        self._master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self._written = bytearray()
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, rows: int) -> None:
        """The window gets another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def text(self) -> str:
        """All that was written so far, control sequences too."""
        return bytes(self._written).decode("utf-8", "replace")

    def forget(self) -> None:
        """What was written so far is looked at no more."""
        self._written.clear()

    def type(self, text: str) -> None:
        """A person types."""
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> str:
        """Waits until this was written; all that was."""
        wait_for(lambda: text in self.text(), what=f"{text!r} on the terminal")
        return self.text()

    def vanish(self) -> None:
        """The window is closed."""
        self._closed = True
        os.close(self._master)

    def close(self) -> None:
        """Gives the descriptors back."""
        with suppress(OSError):
            os.close(self.slave)
        self._reader.join(PATIENCE)
        if not self._closed:
            os.close(self._master)

    def _read(self) -> None:
        # The last one that closes the other side ends it with EIO.
        with suppress(OSError):
            while True:
                ready, _, _ = select.select([self._master], [], [], 0.1)
                if self._closed:
                    return
                if ready:
                    self._written += os.read(self._master, 65_536)


@contextmanager
def on_terminal(
    workspace: Workspace,
    *words: str,
    env: Mapping[str, str] | None = None,
    nohup: bool = False,
    columns: int = 100,
    **streams: int,
) -> Iterator[tuple[Terminal, Popen[bytes]]]:
    """Starts `main.py` with its own terminal for stdin, stdout and stderr, unless a stream is given; ends it by pid.

    The terminal controls it: Ctrl-C that is typed becomes SIGINT, and its end SIGHUP, which `nohup` ignores.
    """
    terminal = Terminal(columns)
    slave = terminal.slave
    # A new session's first open terminal controls it; this stands in for the login.
    code = f"""if True:
        import os, signal, sys
        signal.signal(signal.SIGHUP, signal.{"SIG_IGN" if nohup else "SIG_DFL"})
        os.setsid()
        os.close(os.open(os.ttyname(0), os.O_RDWR))
        os.execv(sys.argv[1], sys.argv[1:])"""
    command = [sys.executable, "-S", "-c", code, sys.executable, str(workspace.root / "main.py"), *words]
    environ = {**workspace.environ, "TERM": "xterm-256color", **(env or {})}
    streams = {"stdin": slave, "stdout": slave, "stderr": slave, **streams}
    try:
        with ended(Popen(command, env=environ, cwd="/", **streams)) as process:  # type: ignore[call-overload]
            os.close(slave)
            yield terminal, process
    finally:
        terminal.close()
