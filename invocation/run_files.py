"""The files of one call: its request, its input and its output. Each is created new, with mode 0600."""

from __future__ import annotations

import os
from contextlib import suppress

from core import strict_json
from core.errors import machine_fault
from core.invocation import InvocationRequest
from core.invocation_errors import IpcError
from core.ownership import create, make_folder
from core.private_files import make_private_folder
from invocation.runners.base import Launch


class CallFiles:
    """`attempt-1.request.json`, `attempt-1.stdout`, `attempt-1.stderr`; for agents also `.stdin` and `.answer`."""

    def __init__(self, folder: str, stem: str) -> None:
        self._folder = folder
        # Text and not Path: a run makes many of them, and making a Path takes as long as opening the file.
        self._prefix = f"{folder}/{stem}"
        self.request = f"{self._prefix}.request.json"
        self.stdout = f"{self._prefix}.stdout"
        self.stderr = f"{self._prefix}.stderr"

    def stdin_of(self, launch: Launch) -> str | None:
        """The file for the standard input of the process; None if it gets none."""
        if launch.request_on_stdin:
            return self.request
        return f"{self._prefix}.stdin" if launch.stdin is not None else None

    def prepare(self, request: InvocationRequest, launch: Launch) -> None:
        """Creates the folder, and writes the request and the input of the process.

        Raises IpcError, and `MachineExhausted` if nothing can be written for a reason that is not the job's.
        """
        try:
            data = strict_json.dump(request.as_dict())
        except (TypeError, ValueError) as error:
            raise IpcError(f"the request can't be written as JSON: {error}", hint="Correct its payload.") from None
        try:
            self._make_folder()
            _write(self.request, data)
            if launch.stdin is not None:
                _write(f"{self._prefix}.stdin", launch.stdin.encode("utf-8", "surrogateescape"))
            for path, text in launch.files.items():
                _write(path, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            if (fault := machine_fault(error)) is not None:
                raise fault from None
            folders = (os.path.dirname(self._folder), self._folder)
            link = next((path for path in folders if os.path.islink(path)), None)
            raise IpcError(
                f"the run's folder {self._folder} can't be used: "
                + (f"{link} is a symbolic link, and is not followed" if link else str(error.strerror)),
                hint="Check its owner, its mode and the space on the disk.",
                details={"path": str(error.filename or self._folder)},
            ) from None

    def write_answer(self, text: str) -> str:
        """Writes the answer of an agent to a file; returns its path. Raises IpcError."""
        return self._store(f"{self._prefix}.answer", text.encode("utf-8", "replace"))

    def write_structured(self, value: object) -> str:
        """Writes the structured part of an answer to a JSON file; returns its path. Raises IpcError."""
        return self._store(f"{self._prefix}.structured.json", strict_json.dump(value))

    def discard(self, launch: Launch) -> None:
        """Deletes what `prepare` and the start of the process have made, because nothing was started."""
        for path in (self.request, self.stdout, self.stderr, f"{self._prefix}.stdin", *launch.files):
            with suppress(OSError):
                os.unlink(path)
        with suppress(OSError):
            os.rmdir(self._folder)

    def _store(self, path: str, data: bytes) -> str:
        try:
            _write(path, data)
        except OSError as error:
            unwritten = IpcError(f"the answer can't be written to {path}: {error.strerror}")
            raise (machine_fault(error) or unwritten) from None
        return path

    def _make_folder(self) -> None:
        parent = os.path.dirname(self._folder)
        make_private_folder(parent)
        # The folder of all runs may be a link that the user made. Folders that targets can reach may not.
        os.close(os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        try:
            make_folder(self._folder)
        except FileExistsError:
            # If it is a link, our files would be written elsewhere: then this fails.
            os.close(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))


def _write(path: str, data: bytes) -> None:
    fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = create(path, fresh)
    try:
        unwritten = memoryview(data)
        while unwritten:
            unwritten = unwritten[os.write(descriptor, unwritten) :]
    finally:
        os.close(descriptor)
