"""The files of one call: its request, what it reads, and what it prints. Each is made anew, for us alone."""

from __future__ import annotations

import os

from core import strict_json
from core.invocation import InvocationRequest
from core.invocation_errors import IpcError
from core.private_files import make_private
from invocation.runners.base import Launch


class CallFiles:
    """`attempt-1.request.json`, `attempt-1.stdout`, `attempt-1.stderr`; of agents also `.stdin` and `.answer`."""

    def __init__(self, folder: str, stem: str) -> None:
        self._folder = folder
        # Text, not Path: a run makes many of them, and a Path costs as much as opening the file.
        self._start = f"{folder}/{stem}"
        self.request = f"{self._start}.request.json"
        self.stdout = f"{self._start}.stdout"
        self.stderr = f"{self._start}.stderr"

    def stdin_of(self, launch: Launch) -> str | None:
        """The file that the process has on its standard input; None: nothing."""
        if launch.request_on_stdin:
            return self.request
        return f"{self._start}.stdin" if launch.stdin is not None else None

    def prepare(self, request: InvocationRequest, launch: Launch) -> None:
        """Makes the folder, and writes the request and what the process reads. Raises IpcError."""
        try:
            data = strict_json.dump(request.as_dict())
        except (TypeError, ValueError) as error:
            raise IpcError(f"the request can't be written as JSON: {error}", hint="Correct its payload.") from None
        try:
            self._make_folder()
            _write(self.request, data)
            if launch.stdin is not None:
                _write(f"{self._start}.stdin", launch.stdin.encode("utf-8", "surrogateescape"))
            for path, text in launch.files.items():
                _write(path, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            places = (os.path.dirname(self._folder), self._folder)
            link = next((path for path in places if os.path.islink(path)), None)
            raise IpcError(
                f"the run's folder {self._folder} can't be used: "
                + (f"{link} is a link, and is not followed" if link else str(error.strerror)),
                hint="See to its owner, its mode and the space on the disk.",
                details={"path": str(error.filename or self._folder)},
            ) from None

    def write_answer(self, text: str) -> str:
        """Keeps what an agent said, in a file. Raises IpcError."""
        return self._keep(f"{self._start}.answer", text.encode("utf-8", "replace"))

    def write_structured(self, value: object) -> str:
        """Keeps the structured part of an answer, as JSON. Raises IpcError."""
        return self._keep(f"{self._start}.structured.json", strict_json.dump(value))

    def _keep(self, path: str, data: bytes) -> str:
        try:
            _write(path, data)
        except OSError as error:
            raise IpcError(f"the answer can't be kept in {path}: {error.strerror}") from None
        return path

    def _make_folder(self) -> None:
        parent = os.path.dirname(self._folder)
        make_private(parent)
        # The folder of all runs may be a link, of one's own making; what targets can reach may not.
        os.close(os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        try:
            os.mkdir(self._folder, 0o700)
        except FileExistsError:
            # A link in its place would lead our files elsewhere.
            os.close(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))


def _write(path: str, data: bytes) -> None:
    fresh = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, fresh, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
