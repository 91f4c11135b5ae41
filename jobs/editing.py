"""Edits of .jobs.json in place: under a lock, replaced as a whole, and the rest of the file as its owner wrote it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import DuplicateJob, InternalError, JobNotFound, JobsFileBusy, JobsFileUnwritable
from jobs import layout

LOCK_WAIT_SEC = 20
#: Times that an edit begins anew because another program changed the file meanwhile.
_TRIES = 5
_EMPTY = '{\n  "jobs": []\n}\n'
_BOM = "\ufeff"


@dataclass(frozen=True)
class Edit:
    """What an edit made of the file, and of one entry; `entry` is None when the entry is gone."""

    text: str
    entry: dict[str, Any] | None


@dataclass(frozen=True)
class _State:
    """The file as it was read. `version` is None when there is none."""

    text: str
    mode: int
    version: tuple[int, int, int] | None


_Jobs = list[dict[str, Any]]
_Change = Callable[[str, _Jobs], Edit]
_Expected = Callable[[_Jobs], _Jobs]


class Editor:
    """One file. `check` is given the new bytes and raises a `ConfigurationError` if they would be refused.

    `load` reads the file that is there, and says what the system says of it; it raises a `ConfigurationError` too.
    """

    def __init__(
        self, path: Path, check: Callable[[bytes], object], load: Callable[[], tuple[bytes, os.stat_result]]
    ) -> None:
        self._path = path
        self._check = check
        self._load = load

    def register(self, entry: dict[str, Any], *, dry_run: bool = False) -> Edit:
        """Adds an entry. Raises `DuplicateJob`, and what `check` raises; then nothing is changed."""

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            if any(job.get("job_id") == entry.get("job_id") for job in jobs):
                raise DuplicateJob(
                    f"There is a job {entry.get('job_id')} already",
                    hint=f"Change it: python3 main.py edit-job {entry.get('job_id')} …",
                    details={"job_id": entry.get("job_id")},
                )
            return Edit(layout.add_entries(text, layout.layout_of(text), [entry]), entry)

        return self._edit(change, lambda jobs: [*jobs, entry], dry_run=dry_run)

    def add_all(self, choose: Callable[[list[dict[str, Any]]], Sequence[dict[str, Any]]], *, dry_run: bool) -> Edit:
        """Adds the entries that `choose` makes of those in the file, in one step; if it makes none, nothing is written.

        `choose` is asked again under the lock, so that its names are still free. Raises what `check` raises; then
        nothing is changed.
        """
        added: list[dict[str, Any]] = []

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            added[:] = choose(jobs)
            return Edit(layout.add_entries(text, layout.layout_of(text), added) if added else text, None)

        return self._edit(change, lambda jobs: [*jobs, *added], dry_run=dry_run)

    def check_entry(self, entry: dict[str, Any]) -> None:
        """Raises what a sync would say of a file with this entry alone."""
        self._check(json.dumps({"jobs": [entry]}).encode())

    def update(
        self, job_id: str, changes: dict[str, Any], removed: frozenset[str] = frozenset(), *, dry_run: bool = False
    ) -> Edit:
        """Changes fields of an entry, and takes away others. Raises `JobNotFound`, and what `check` raises."""

        def wanted(job: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in {**job, **changes}.items() if key not in removed}

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            number = _number(jobs, job_id)
            entry = layout.layout_of(text).entries[number]
            return Edit(layout.set_members(text, entry, changes, removed), wanted(jobs[number]))

        def expected(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [wanted(job) if job.get("job_id") == job_id else job for job in jobs]

        return self._edit(change, expected, dry_run=dry_run)

    def remove(self, job_id: str, *, dry_run: bool = False) -> Edit:
        """Takes an entry away. Raises `JobNotFound`."""

        def change(text: str, jobs: list[dict[str, Any]]) -> Edit:
            return Edit(layout.remove_entry(text, layout.layout_of(text), _number(jobs, job_id)), None)

        def expected(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [job for job in jobs if job.get("job_id") != job_id]

        return self._edit(change, expected, dry_run=dry_run)

    def _edit(self, change: _Change, expected: _Expected, *, dry_run: bool) -> Edit:
        # What is refused, or changes nothing, takes no lock and leaves no file of one.
        edit, state = self._tried(change, expected)
        if dry_run or edit.text == state.text:
            return edit
        with self._locked():
            for _ in range(_TRIES):
                edit, state = self._tried(change, expected)
                if edit.text == state.text or self._write(edit.text.encode("utf-8"), state):
                    return edit
        message = f"{self._path} is changed by another program again and again"
        raise JobsFileBusy(message, hint="Try again when it is done.", details={"file": str(self._path)})

    def _tried(self, change: _Change, expected: _Expected) -> tuple[Edit, _State]:
        """What the edit would make of the file as it is. Raises what speaks against it."""
        state = self._read()
        # A file that is wrong already is told as such, before anything is changed in it.
        self._check(state.text.encode("utf-8", "surrogatepass"))
        bare = state.text.removeprefix(_BOM)
        root = json.loads(bare)
        made = change(bare, root["jobs"])
        new = state.text[: len(state.text) - len(bare)] + made.text
        self._check(new.encode("utf-8"))
        if json.loads(made.text) != {**root, "jobs": expected(root["jobs"])}:
            raise InternalError(f"The edit of {self._path} would have changed more than was asked for")
        return Edit(new, made.entry), state

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            lock = FileLock(self._path.with_name(f"{self._path.name}.lock"), timeout=LOCK_WAIT_SEC, mode=0o600)
            with lock:
                yield
        except Timeout:
            message = f"Another edit of {self._path} goes on for more than {LOCK_WAIT_SEC} s"
            raise JobsFileBusy(message, hint="Try again.", details={"file": str(self._path)}) from None
        except OSError as error:
            raise self._unwritable(error) from None

    def _read(self) -> _State:
        if not os.path.lexists(self._path):
            return _State(_EMPTY, 0o600, None)
        data, found = self._load()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            # `check` says what is wrong with it, in the words of a sync.
            self._check(data)
            raise InternalError(f"{self._path} can't be read") from None
        return _State(text, stat.S_IMODE(found.st_mode), _version(found))

    def _write(self, data: bytes, state: _State) -> bool:
        """Replaces the file, or what it leads to as a link. False if it is not the one that was read."""
        path = Path(os.path.realpath(self._path))
        fresh = path.with_name(f"{path.name}.new-{os.getpid()}")
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), state.mode)
                file.flush()
                os.fsync(file.fileno())
            if _version_at(path) != state.version:
                # An editor of text knows no lock of ours.
                fresh.unlink()
                return False
            os.replace(fresh, path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise self._unwritable(error) from None
        return True

    def _unwritable(self, error: OSError) -> JobsFileUnwritable:
        return JobsFileUnwritable(
            f"{self._path} can't be written: {error.strerror}",
            hint="See to its owner, its mode, its folder and the space on the disk. Nothing was changed.",
            details={"file": str(self._path)},
        )


def _version(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _version_at(path: Path) -> tuple[int, int, int] | None:
    try:
        return _version(path.stat())
    except FileNotFoundError:
        return None


def _number(jobs: list[dict[str, Any]], job_id: str) -> int:
    for number, job in enumerate(jobs):
        if job.get("job_id") == job_id:
            return number
    hint = "See the names: python3 main.py list"
    raise JobNotFound(f"There is no job {job_id} in .jobs.json", hint=hint, details={"job_id": job_id})
