"""A whole puruto-cron in a temporary folder, with siblings, run as real processes or in this one with a fake clock."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fork_server import Forked, ForkServer, program_modules

PROJECT = Path(__file__).resolve().parent.parent
FOLDERS = tuple(sorted(path.parent.name for path in PROJECT.glob("*/__init__.py")))
PROGRAM_SERVER = ForkServer(program_modules())
#: All that a fork server does for a command. What asks for more is started afresh.
FORKED_OPTIONS = {"stdin", "stdout", "stderr", "start_new_session"}
ALWAYS_FRESH = os.environ.get("PURUTO_TEST_FRESH", "0") != "0"
#: The longest that a test waits for anything. It ends what hangs; no test is slow enough to come near it.
PATIENCE = 120.0


def first_line(interpreter: str, *options: str) -> str:
    """What makes a text a program of this interpreter, in whatever folder that lies.

    The kernel ends the path of an interpreter at a blank, and some kernels cut the line at 127 bytes. Then the first
    lines are a shell's, and a text for Python.
    """
    line = " ".join([f"#!{interpreter}", *options])
    if " " not in interpreter and len(os.fsencode(line)) < 127:
        return f"{line}\n"
    words = shlex.join(options)
    # Within the quotes that begin with the third one, those of shlex would end the text.
    quoted = re.sub(r'([\\$`"])', r"\\\1", interpreter)
    return f"#!/bin/sh\n'''exec' \"{quoted}\" {words} \"$0\" \"$@\"\n' '''\n"


#: The first line of a program for the interpreter of these tests, which starts fastest so.
PYTHON = first_line(sys.executable, "-IS")
#: The same interpreter as a word of a shell or a crontab.
PYTHON_WORD = shlex.quote(sys.executable)
#: A target that writes one line for each start, so that starts are counted by what the target itself did.
COUNTING_INVOKE = (
    PYTHON
    + """import json, os, sys
request = json.load(sys.stdin)
with open("starts.log", "a") as log:
    log.write(os.environ["PURUTO_CRON_RUN_ID"] + " " + os.environ["PURUTO_CRON_SLOT"] + "\\n")
print(json.dumps({"request_id": request["request_id"], "correlation_id": request["correlation_id"],
                  "status": "ok", "duration_ms": 1, "result": {"summary": "done"}}))
"""
)


class FakeClock:
    """A clock that stands still until it is moved. `monotonic` follows the moves, never backwards."""

    def __init__(self, now: datetime = datetime(2026, 2, 25, 20, 0, tzinfo=UTC)) -> None:
        self.wall = now
        self.elapsed = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, **spans: float) -> None:
        """Moves both clocks on by a timedelta's spans."""
        step = timedelta(**spans)
        self.wall += step
        self.elapsed += max(0.0, step.total_seconds())


class Workspace:
    """`root` is the copy of the project; siblings stand beside it."""

    #: Whether the test that runs now may start the program as a process: whether it is marked so.
    may_start = True

    def __init__(self, folder: Path) -> None:
        self.home = folder / "purutos"
        self.root = self.home / "puruto-cron"
        self.home.mkdir(parents=True)
        link_program(self.root)
        self.environ = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(folder),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "PYTHONWARNINGS": "error",
            "PURUTO_CRON_KILL_GRACE_SECONDS": "1",
            # Set when coverage is measured, so that it is in what the tests start too.
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }

    # --- files ---

    @property
    def database(self) -> Path:
        return self.root / "db" / "cron.db"

    @property
    def events_file(self) -> Path:
        return self.root / "notifications" / "events.jsonl"

    def write_jobs(self, *jobs: Mapping[str, object]) -> None:
        """Replaces .jobs.json; what a job leaves out gets a workable value."""
        (self.root / ".jobs.json").write_text(_jobs_text(jobs), encoding="utf-8")

    def replace_jobs(self, *jobs: Mapping[str, object]) -> None:
        """The same as `write_jobs`, by a rename: a reader finds the old file or the new one."""
        with tempfile.NamedTemporaryFile("w", dir=self.root / "db", delete=False, encoding="utf-8") as file:
            file.write(_jobs_text(jobs))
        Path(file.name).replace(self.root / ".jobs.json")

    def add_target(self, name: str = "puruto-target", invoke: str | None = COUNTING_INVOKE) -> Path:
        """A sibling, with an executable `invoke` unless that is None."""
        folder = self.home / name
        folder.mkdir(exist_ok=True)
        if invoke is not None:
            (folder / "invoke").write_text(invoke, encoding="utf-8")
            (folder / "invoke").chmod(0o755)
        return folder

    def starts(self, target: str = "puruto-target") -> list[str]:
        """What COUNTING_INVOKE wrote: `run_id slot` of each start."""
        path = self.home / target / "starts.log"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def events(self) -> list[dict[str, Any]]:
        """The lines of events.jsonl, parsed; a half line fails."""
        if not self.events_file.exists():
            return []
        text = self.events_file.read_text(encoding="utf-8")
        assert text == "" or text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]

    # --- processes ---

    def start(
        self, *words: str, env: Mapping[str, str] | None = None, before: str = "", fresh: bool = False, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Starts `main.py` with these words, after a script `before` in the same process, and does not wait.

        The process is a fork of one that has the program loaded; with `fresh`, or where a fork can't do what is asked,
        it is an interpreter of its own.
        """
        assert Workspace.may_start, "mark this test: pytest.mark.process"
        argv = [str(self.root / "main.py"), *words]
        environ = {**self.environ, **(env or {})}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        if fresh or ALWAYS_FRESH or not options.keys() <= FORKED_OPTIONS or _asks_the_interpreter(environ):
            command = ["-c", _changed(before, argv)] if before else argv
            return subprocess.Popen([sys.executable, *command], env=environ, cwd="/", **options)
        session = options.pop("start_new_session", False)
        return Forked(PROGRAM_SERVER, argv, environ, before=before, session=session, **options)

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, timeout: float = PATIENCE, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs `main.py` with these words to its end."""
        with self.start(*words, env=env, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def json(self, *words: str, code: int = 0, env: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any]:
        """Runs `main.py`, expects this exit code and a silent stderr, and returns the one JSON object."""
        done = self.run(*words, env=env, **options)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        assert done.stderr == b"", done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def ready(self, *jobs: Mapping[str, object]) -> None:
        """init-db, these jobs, sync-jobs."""
        self.write_jobs(*jobs)
        self.json("init-db")
        self.json("sync-jobs")

    # --- the database ---

    def sql(self, statement: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Runs one statement as a person with the sqlite3 shell would."""
        with closing(sqlite3.connect(self.database, timeout=30)) as connection, connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement, values).fetchall()]

    def make_due(self, job_id: str = "%", *, minutes_ago: float = 0, at: datetime | None = None) -> None:
        """Sets the cursor of jobs to a whole minute that has passed."""
        instant = at or (datetime.now(UTC) - timedelta(minutes=minutes_ago)).replace(second=0, microsecond=0)
        self.sql("UPDATE jobs SET next_run_at = ? WHERE job_id LIKE ?", (instant.isoformat(), job_id))

    def runs(self, job_id: str = "%") -> list[dict[str, Any]]:
        """All columns of the runs, oldest first."""
        return self.sql("SELECT * FROM runs WHERE job_id LIKE ? ORDER BY started_at, rowid", (job_id,))


def _jobs_text(jobs: Sequence[Mapping[str, object]]) -> str:
    base = {"puruto_target": "puruto-target", "schedule": "* * * * *", "prompt": "Do it"}
    return json.dumps({"jobs": [{"job_id": f"job-{n}", **base, **job} for n, job in enumerate(jobs)]})


@functools.cache
def _program() -> Path:
    """One copy of the program, for all workspaces of this process."""
    parent = Path(tempfile.mkdtemp(prefix="puruto-cron-program-"))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    folder = parent / "puruto-cron"
    folder.mkdir()
    for source in PROJECT.glob("*.py"):
        shutil.copy2(source, folder)
    # Compiled files come along with their times, so that the copy need not be compiled again.
    for name in (*FOLDERS, "__pycache__"):
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, folder / name)
    return folder


def link_program(root: Path) -> None:
    """Makes a folder with the program's files, as links, which cost less than copies. Nothing may write into them."""
    shutil.copytree(_program(), root, copy_function=os.link)


def _changed(before: str, argv: list[str]) -> str:
    """A script that runs `before`, and then `main.py` as if it had been started itself."""
    lines = [
        f"import runpy, sys; sys.path.insert(0, {os.path.dirname(argv[0])!r}); sys.argv = {argv!r}",
        before,
        f"runpy.run_path({argv[0]!r}, run_name='__main__')",
    ]
    return "\n".join(lines)


def _asks_the_interpreter(environ: Mapping[str, str]) -> bool:
    """Whether the environment holds what Python reads at its start, other than the defaults of a workspace."""
    usual = {"LANG": "C.UTF-8", "PYTHONWARNINGS": "error"}
    return any(name.startswith(("PYTHON", "LC_", "LANG")) and usual.get(name) != environ[name] for name in environ)


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips a test where one of these programs is not installed."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)}: not installed")


def wait_for(condition: Callable[[], Any], *, what: str, seconds: float = PATIENCE) -> Any:
    """Waits until a condition is true, and fails with what was waited for."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Ends a process, by its pid, whatever the test does."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def is_running(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
