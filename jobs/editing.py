"""Edits .jobs.json under a lock and replaces it atomically; the rest of the file stays as its owner wrote it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.durable import put_in_place
from core.errors import (
    CronError,
    DuplicateJob,
    InternalError,
    JobNotFound,
    JobsFileBusy,
    JobsFileInvalid,
    JobsFileUnwritable,
)
from core.ownership import create
from core.permissions import obstacle
from core.suggest import did_you_mean
from jobs import layout

LOCK_WAIT_SEC = 20
#: How often an edit starts again because another program has changed the file.
_TRIES = 5
_EMPTY = '{\n  "jobs": []\n}\n'
_BOM = "\ufeff"


@dataclass(frozen=True)
class Edit:
    """The new text of the file, the new entry, and whether any job is another one than before.

    `entry` is None if there is not exactly one.
    """

    text: str
    entry: dict[str, Any] | None
    changed: bool = True


@dataclass(frozen=True)
class _State:
    """The file as it was read. `version` is (inode, size, time of change); None if there is no file."""

    text: str
    mode: int
    version: tuple[int, int, int] | None


_Jobs = list[dict[str, Any]]
#: Makes the error to raise of the one about the edited file.
Explain = Callable[[JobsFileInvalid], CronError]
_Change = Callable[[str, _Jobs], Edit]
_Expected = Callable[[_Jobs], _Jobs]


class Editor:
    """Edits one file. `check` gets the new bytes, and raises a `ConfigurationError` if a sync would refuse them.

    `load` returns the bytes and the stat result of the file, or raises a `ConfigurationError`.
    """

    def __init__(
        self, path: Path, check: Callable[[bytes], object], load: Callable[[], tuple[bytes, os.stat_result]]
    ) -> None:
        self._path = path
        self._check = check
        self._load = load

    def register(self, entry: dict[str, Any], *, dry_run: bool = False, explain: Explain | None = None) -> Edit:
        """Adds an entry. Raises `DuplicateJob` and what `check` raises; then nothing is changed.

        `explain` makes the error to raise of one about the new entry.
        """

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            if any(job.get("job_id") == entry.get("job_id") for job in jobs):
                raise DuplicateJob(
                    f"There is already a job {entry.get('job_id')}",
                    hint=f"Change it: python3 main.py edit-job {entry.get('job_id')} …",
                    details={"job_id": entry.get("job_id")},
                )
            return Edit(layout.add_entries(text, layout.layout_of(text), [entry]), entry)

        return self._edit(change, lambda jobs: [*jobs, entry], dry_run=dry_run, explain=explain)

    def add_all(self, choose: Callable[[list[dict[str, Any]]], Sequence[dict[str, Any]]], *, dry_run: bool) -> Edit:
        """Adds the entries that `choose` returns, given those in the file. Without entries nothing is written.

        `choose` is called again under the lock, so that its names are still free. Raises what `check` raises; then
        nothing is changed.
        """
        added: list[dict[str, Any]] = []

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            added[:] = choose(jobs)
            return Edit(layout.add_entries(text, layout.layout_of(text), added) if added else text, None)

        return self._edit(change, lambda jobs: [*jobs, *added], dry_run=dry_run)

    def check_entry(self, entry: dict[str, Any]) -> None:
        """Raises what a sync of a file with only this entry would raise."""
        self._check(json.dumps({"jobs": [entry]}).encode())

    def update(
        self,
        job_id: str,
        changes: dict[str, Any],
        removed: frozenset[str] = frozenset(),
        *,
        dry_run: bool = False,
        explain: Explain | None = None,
    ) -> Edit:
        """Changes and removes fields of an entry. Raises `JobNotFound` and what `check` raises; `explain` as above."""

        def updated(job: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in {**job, **changes}.items() if key not in removed}

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            number = _number(jobs, job_id)
            entry = layout.layout_of(text).entries[number]
            return Edit(layout.set_members(text, entry, changes, removed), updated(jobs[number]))

        def expected(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [updated(job) if job.get("job_id") == job_id else job for job in jobs]

        return self._edit(change, expected, dry_run=dry_run, explain=explain)

    def jobs(self) -> list[dict[str, Any]]:
        """The entries of the file; none if there is no file. Raises what `check` raises."""
        text = self._read().text
        self._check(text.encode("utf-8", "surrogatepass"))
        found: list[dict[str, Any]] = json.loads(text.removeprefix(_BOM))["jobs"]
        return found

    def entry(self, job_id: str) -> dict[str, Any]:
        """An entry as it is in the file. Raises `JobNotFound` and what `check` raises."""
        return self.update(job_id, {}, dry_run=True).entry or {}

    def give_name(self, old: str, new: str, *, dry_run: bool = False, explain: Explain | None = None) -> Edit:
        """Gives an entry another name. Raises `JobNotFound`, `DuplicateJob` and what `check` raises."""

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            number = _number(jobs, old)
            if any(job.get("job_id") == new for job in jobs):
                message, hint = (
                    f"There is already a job {new}",
                    "Choose another name, or remove or rename that job first.",
                )
                raise DuplicateJob(message, hint=hint, details={"job_id": new})
            entry = layout.layout_of(text).entries[number]
            return Edit(layout.set_members(text, entry, {"job_id": new}, frozenset()), {**jobs[number], "job_id": new})

        def expected(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [{**job, "job_id": new} if job.get("job_id") == old else job for job in jobs]

        return self._edit(change, expected, dry_run=dry_run, explain=explain)

    def remove(self, job_id: str, *, dry_run: bool = False) -> Edit:
        """Removes an entry. Raises `JobNotFound` and what `check` raises."""

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            return Edit(layout.remove_entry(text, layout.layout_of(text), _number(jobs, job_id)), None)

        def expected(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [job for job in jobs if job.get("job_id") != job_id]

        return self._edit(change, expected, dry_run=dry_run)

    def _edit(self, change: _Change, expected: _Expected, *, dry_run: bool, explain: Explain | None = None) -> Edit:
        # An edit that is refused or changes nothing takes no lock, and so creates no lock file.
        edit, state = self._try_edit(change, expected, explain)
        if dry_run or edit.text == state.text:
            return edit
        with self._locked():
            for _ in range(_TRIES):
                edit, state = self._try_edit(change, expected, explain)
                if edit.text == state.text or self._write(edit.text.encode("utf-8"), state):
                    return edit
        message = f"{self._path} was not edited: another program keeps changing it"
        raise JobsFileBusy(message, hint="Try again when it has finished.", details={"file": str(self._path)})

    def _try_edit(self, change: _Change, expected: _Expected, explain: Explain | None) -> tuple[Edit, _State]:
        """The edit of the current file, and the file as it was read. Raises if the edit is impossible or invalid."""
        state = self._read()
        # A file that is already invalid is reported before it is edited.
        self._check(state.text.encode("utf-8", "surrogatepass"))
        bare = state.text.removeprefix(_BOM)
        root = json.loads(bare)
        edit = change(bare, root["jobs"])
        new_jobs = expected(root["jobs"])
        if new_jobs == root["jobs"]:
            return Edit(state.text, edit.entry, changed=False), state
        new_text = state.text[: len(state.text) - len(bare)] + edit.text
        self._check_edited(new_text.encode("utf-8"), explain)
        if json.loads(edit.text) != {**root, "jobs": new_jobs}:
            raise InternalError(f"The edit of {self._path} would have changed other entries")
        return Edit(new_text, edit.entry), state

    def _check_edited(self, data: bytes, explain: Explain | None) -> None:
        """Checks the file as it would be. What is wrong now came with the edit, because before nothing was."""
        try:
            self._check(data)
        except JobsFileInvalid as error:
            raise error if explain is None else explain(error) from None

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(f"{self._path.name}.lock")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            with FileLock(self._lock_path, timeout=LOCK_WAIT_SEC, mode=0o600):
                yield
        except Timeout:
            message = f"{self._path} was not edited: another edit has held its lock for more than {LOCK_WAIT_SEC} s"
            raise JobsFileBusy(message, hint="Try again.", details={"file": str(self._path)}) from None
        except OSError as error:
            raise self._unwritable(error) from None

    def _read(self) -> _State:
        if not os.path.lexists(self._path):
            return _State(_EMPTY, 0o600, None)
        data, status = self._load()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            # `check` raises the error that a sync would raise.
            self._check(data)
            raise InternalError(f"{self._path} can't be read") from None
        return _State(text, stat.S_IMODE(status.st_mode), _version(status))

    def _write(self, data: bytes, state: _State) -> bool:
        """Replaces the file, or the target of the link. False if it has changed since it was read."""
        path = Path(os.path.realpath(self._path))
        fresh = path.with_name(f"{path.name}.new-{os.getpid()}")
        try:
            with open(create(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC), "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), state.mode)
                file.flush()
                os.fsync(file.fileno())
            if _version_at(path) != state.version:
                # Other programs, like text editors, don't use our lock.
                fresh.unlink()
                return False
            put_in_place(fresh, path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise self._unwritable(error) from None
        return True

    def _unwritable(self, error: OSError) -> JobsFileUnwritable:
        lock = str(self._lock_path)
        found = obstacle(os.path.realpath(self._path), write=True, beside=(lock,))
        if found is not None:
            reason, hint = found.sentence, found.hint
        elif error.filename == lock:
            reason, hint = f"its lock {lock} can't be opened: {error.strerror}", "Remove what is there."
        else:
            reason = str(error.strerror)
            hint = "Check the space on the disk, and whether it is mounted read-only."
        return JobsFileUnwritable(
            f"{self._path} can't be written: {reason}",
            hint=f"Nothing was changed. {hint}",
            details={"file": str(self._path)},
        )


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _version_at(path: Path) -> tuple[int, int, int] | None:
    try:
        return _version(path.stat())
    except FileNotFoundError:
        return None


def _number(jobs: list[dict[str, Any]], job_id: str) -> int:
    for number, job in enumerate(jobs):
        if job.get("job_id") == job_id:
            return number
    known = [str(job.get("job_id")) for job in jobs]
    hint = did_you_mean(job_id, known, "List the jobs: python3 main.py list")
    raise JobNotFound(f"There is no job {job_id} in .jobs.json", hint=hint, details={"job_id": job_id})
