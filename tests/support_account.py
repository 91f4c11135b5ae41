"""An ordinary account with a home of its own: another user if the tests run as root, else the one that runs them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Of nobody on this machine.
_STRANGER = 64_321
#: Where programs are that every account may start; what is on the PATH of root may lie in /root.
_PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
_CRONTAB = """#!/bin/sh
file=$HOME/crontab.txt
case "$1" in
-l) [ -e "$file" ] || { echo "no crontab for me" >&2; exit 1; }; cat "$file" ;;
-) cat > "$file" ;;
esac
"""
_KEPT = ("LANG", "PIP_", "SSL_CERT", "REQUESTS_CA", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def identity() -> dict[str, Any]:
    """How a process becomes that account: options of `subprocess`."""
    return {"user": _STRANGER, "group": _STRANGER, "extra_groups": ()} if os.geteuid() == 0 else {}


def owned(path: Path) -> Path:
    """The path, given to the account."""
    if os.geteuid() == 0:
        os.chown(path, _STRANGER, _STRANGER)
    return path


@dataclass
class Account:
    """`home` holds `mis púrutos/puruto-cron`, once it is made. Its own program `crontab` keeps `crontab.txt` in it.

    `shared` is a folder that all accounts of a session use, for what pip has loaded.
    """

    home: Path
    shared: Path
    more: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owned(self.home)
        programs = self.home / "bin"
        programs.mkdir()
        (programs / "crontab").write_text(_CRONTAB)
        (programs / "crontab").chmod(0o755)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.home / "mis púrutos" / "puruto-cron"

    @property
    def environ(self) -> dict[str, str]:
        """What a shell of this account has."""
        kept = {name: value for name, value in os.environ.items() if name.upper().startswith(_KEPT)}
        path = _PROGRAMS if os.geteuid() == 0 else os.environ["PATH"]
        own = {"HOME": str(self.home), "PATH": f"{self.home}/bin:{path}", "TZ": "UTC"}
        return {**kept, **own, "PIP_CACHE_DIR": str(self.shared / "pip"), **self.more}

    def shell(self, text: str, folder: Path | None = None, *, fails: Sequence[int] = ()) -> str:
        """What a text prints that is typed into a shell, by default in the project's folder; each line has to succeed.

        `fails` are other exit codes that it may end with.
        """
        done = subprocess.run(
            ["bash", "-ec", text], cwd=folder or self.root, env=self.environ, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=280, **identity(),
        )  # fmt: skip
        assert done.returncode in (0, *fails), (text, done.returncode, done.stdout, done.stderr)
        said: str = done.stdout
        return said

    def main(self, *words: str, folder: Path | None = None) -> dict[str, Any]:
        """The JSON of a command of the program."""
        command = " ".join([".venv/bin/python main.py", *words])
        answer: dict[str, Any] = json.loads(self.shell(command, folder, fails=(1, 2)))
        return answer

    @property
    def crontab(self) -> str:
        """The text of its crontab."""
        path = self.home / "crontab.txt"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def cron(self) -> int:
        """Does what cron would do in a minute for each line of ours; the sum of the exit codes."""
        lines = [line for line in self.crontab.splitlines() if line.startswith("* * * * * ")]
        commands = [line.removeprefix("* * * * * ").replace("\\%", "%") for line in lines]
        bare = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        runs = [subprocess.run(["/bin/sh", "-c", line], cwd=self.home, env=bare, **identity()) for line in commands]
        return sum(run.returncode for run in runs)
