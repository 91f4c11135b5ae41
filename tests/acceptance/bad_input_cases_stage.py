"""A whole puruto-cron with four good jobs, copied for each case, on which one command line is tried."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import commands
from tests.workspace import FakeClock, Workspace

Word = str | bytes

_BACKUP = {"job_id": "backup", "puruto_target": "puruto-data", "schedule": "0 3 * * *", "prompt": "Back up"}
GOOD_JOBS: tuple[dict[str, Any], ...] = (
    {**_BACKUP, "command": ["echo", "done"]},
    {"job_id": "report", "puruto_target": "puruto-data", "schedule": "30 9 * * 1-5", "prompt": "Report"},
    {"job_id": "digest", "puruto_target": "puruto-data", "schedule": "@every 6h", "prompt": "Digest"},
    {"job_id": "off", "puruto_target": "puruto-data", "schedule": "@daily", "prompt": "Rest", "enabled": False},
)
#: A file larger than this, and the program itself, are compared by size and time.
_READ_WHOLE = 4 * 1024 * 1024
#: A command that takes longer waits for something that will never come.
_TIMEOUT_SEC = 20
#: Drops CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH for good (PR_CAPBSET_DROP), then becomes the rest of its words.
_FORGO_POWERS = """
import ctypes, os, sys
for power in (1, 2):
    if ctypes.CDLL(None).prctl(24, power, 0, 0, 0) != 0:
        sys.exit("these powers can't be dropped")
os.execvp(sys.argv[1], sys.argv[1:])
"""
_NOBODY = 65_534


@dataclass(frozen=True)
class Outcome:
    """How a command line ended."""

    code: int
    out: bytes
    err: bytes

    def object(self) -> dict[str, Any]:
        """The one JSON object on stdout, in one line; anything else fails."""
        text = self.out.decode("utf-8")
        assert text.endswith("\n"), (self.code, text)
        assert text.count("\n") == 1, (self.code, text)
        answer = json.loads(text)
        assert isinstance(answer, dict)
        return answer


class Stage:
    """One copy: `root` is the folder of main.py."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = dict(environ)
        self.clock = FakeClock()

    @property
    def jobs_file(self) -> Path:
        return self.root / ".jobs.json"

    @property
    def env_file(self) -> Path:
        return self.root / ".env"

    @property
    def database(self) -> Path:
        return self.root / "db" / "cron.db"

    def write(self, path: Path, data: bytes) -> None:
        """Replaces a file. Never writes into one: good files are links to those of the first copy."""
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def write_jobs(self, data: bytes) -> None:
        """Replaces .jobs.json."""
        self.write(self.jobs_file, data)

    def sql(self, statement: str, values: Sequence[object] = ()) -> None:
        """Changes the database as a person with the sqlite3 shell would, and leaves no -wal behind."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, values)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Reads the database."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement).fetchall()]

    # --- trying ---

    def here(self, *words: Word, env: Mapping[str, Word] | None = None) -> Outcome:
        """One command line in this process, with this stage's clock."""
        environ = {name: os.fsdecode(value) for name, value in {**self.environ, **(env or {})}.items()}
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with (
            mock.patch.dict(os.environ, environ, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = commands.run([os.fsdecode(word) for word in words], self.clock, str(self.root))
        return Outcome(code, *(_written(stream) for stream in (out, err)))

    def process(self, *words: Word, env: Mapping[str, Word] | None = None, plain_user: bool = False) -> Outcome:
        """One command line as a person types it. With `plain_user` even root is refused what modes forbid."""
        done = subprocess.run(
            [*(_plain_user() if plain_user else ()), sys.executable, str(self.root / "main.py"), *words],
            env={**self.environ, **(env or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SEC,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def give_away(self, path: Path, digit: int) -> None:
        """Leaves us only what `digit` of a mode allows; where we are root, by giving the file to another user."""
        if path.is_file():
            self.write(path, path.read_bytes())
        path.chmod(digit * 0o111)
        if os.geteuid() == 0:
            os.chown(path, _NOBODY, _NOBODY)

    # --- comparing ---

    def snapshot(self) -> dict[str, object]:
        """Every file of the copy; those that a command may write with their bytes.

        A row that changed would show in the bytes of the database or in its write-ahead log.
        """
        seen: dict[str, object] = {}
        for folder, folders, files in os.walk(self.root):
            if "__pycache__" in folders:
                folders.remove("__pycache__")
            for path in (Path(folder, name) for name in (*folders, *files)):
                if path.name.startswith("puruto-cron.log"):
                    # It says that a command failed, and is no state.
                    continue
                empty_log = path.name.endswith("-wal") and path.stat().st_size == 0
                if not empty_log and not path.name.endswith("-shm"):
                    seen[str(path.relative_to(self.root))] = _identity(path)
        return seen


def make_template(folder: Path) -> Stage:
    """The first copy, with its database and its jobs."""
    workspace = Workspace(folder)
    # What the environment sets can't be tried in .env.
    environ = {name: value for name, value in workspace.environ.items() if not name.startswith("PURUTO_")}
    stage = Stage(workspace.root, environ)
    stage.write_jobs(jobs_bytes(*GOOD_JOBS))
    for word in ("init-db", "sync-jobs"):
        outcome = stage.here(word)
        assert outcome.code == 0, outcome
    return stage


def copy_of(template: Stage, folder: Path) -> Stage:
    """A copy of a stage in which any file may be replaced, and the database written."""
    root = folder / "puruto-cron"
    (folder / "puruto-data").mkdir(parents=True)
    # .jobs.json as a link is still the file that was synced: the same inode, size and time.
    shutil.copytree(template.root, root, copy_function=_link, ignore=shutil.ignore_patterns("cron.db*"))
    shutil.copy2(template.database, root / "db")
    return Stage(root, template.environ)


def jobs_bytes(*jobs: object) -> bytes:
    """A jobs file with these entries."""
    return json.dumps({"jobs": jobs}, ensure_ascii=True, indent=2).encode("ascii")


@functools.cache
def can_be_refused() -> bool:
    """Whether this user, or root without its powers, is refused what modes forbid. Not so in some containers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "secret")
        path.touch()
        path.chmod(0)
        done = subprocess.run([*_plain_user(), "cat", str(path)], capture_output=True)
        return b"Permission denied" in done.stderr


def _plain_user() -> list[str]:
    """The beginning of a command line that takes from root what lets it pass over modes."""
    return [sys.executable, "-c", _FORGO_POWERS] if os.geteuid() == 0 else []


def _written(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


def _link(source: str, target: str) -> None:
    os.link(source, target)


#: What a hint says of a file that `give_away` took: root gives it to another user, any other account changes its mode.
TAKE_BACK = "sudo chown" if os.geteuid() == 0 else "chmod u+rw"


def _identity(path: Path) -> object:
    info = path.lstat()
    kind = (stat.filemode(info.st_mode), info.st_uid)
    if stat.S_ISLNK(info.st_mode):
        return (*kind, path.readlink())
    if not stat.S_ISREG(info.st_mode):
        return kind
    if info.st_size > _READ_WHOLE or path.suffix in (".py", ".sql"):
        return (*kind, info.st_size, info.st_mtime_ns)
    # What is taken away from its own reader can't be read here either.
    readable = os.access(path, os.R_OK)
    return (*kind, path.read_bytes() if readable else (info.st_size, info.st_mtime_ns))
