"""One archive: writing shared/ and registry.json into a .tar.gz, and reading it back to see that it holds what went in.

Folders are walked through descriptors opened with O_NOFOLLOW, so that a link, even one that appears during the
walk, never leads out of shared/.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

SHARED = "shared"
REGISTRY = "registry.json"
#: In the form of `sha256sum`, so that whoever restores an archive needs no program of ours to check it.
MANIFEST = "MANIFEST.sha256"
#: Each level holds an open descriptor while it is walked, and 256 is the smallest usual limit of them.
MAX_DEPTH = 200
CHUNK = 256 * 1024


class Damaged(Exception):
    """An archive does not hold what it should; `problems` says what, a sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Entry:
    """A member: `kind` is "file", "folder" or "link"; size (bytes) and digest are a file's, `target` a link's."""

    name: str
    kind: str
    size: int = 0
    sha256: str = ""
    target: str = ""


@dataclass
class Notes:
    """Names of what could not be kept as it was: see README "What it says" for each list."""

    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Written:
    """What went into an archive: its own digest and size (bytes), and every member in order."""

    sha256: str
    size: int
    entries: tuple[Entry, ...]
    notes: Notes

    def count(self, kind: str) -> int:
        """How many members of this kind, our manifest not counted."""
        return sum(entry.kind == kind and entry.name != MANIFEST for entry in self.entries)


def write_archive(folder: Path, raw: BinaryIO, created: int) -> Written:
    """Write shared/ and registry.json of `folder` to `raw`; `created` (seconds since 1970) goes into the gzip header.

    Raises OSError only for faults of `raw` and of `folder` itself; what can't be read inside is in `notes`.
    """
    sink = _Sink(raw)
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=created) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar,
        ):
            writer = _Writer(tar)
            for name in (REGISTRY, SHARED):
                if os.path.lexists(folder / name):
                    writer.add(root, name, name)
            writer.add_manifest(created)
    finally:
        os.close(root)
    return Written(sink.digest.hexdigest(), sink.size, tuple(writer.entries), writer.notes)


def verify_archive(path: Path, written: Written) -> None:
    """Read `path` back from its first byte to its last; raises Damaged unless it is exactly what was written."""
    digest, size = _digest_of(path)
    problems = []
    if size != written.size:
        problems.append(f"the archive has {size} bytes instead of {written.size}")
    if digest != written.sha256:
        problems.append("the archive's SHA-256 is not that of the bytes that were written")
    if not problems:
        problems = _differences(written.entries, read_members(path))
    if problems:
        raise Damaged(problems)


def read_members(path: Path) -> list[Entry]:
    """Every member, with the digest of its content as unpacked now; raises Damaged if it can't be unpacked whole."""
    members = []
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r|", encoding="utf-8") as tar:
            for member in tar:
                members.append(_entry_of(tar, member))
            while packed.read(CHUNK):
                pass
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as fault:
        raise Damaged([f"{path.name} can't be unpacked: {fault}"]) from None
    return members


def shown(name: str) -> str:
    """`name` as text that any reader can take: bytes of a file name that are not UTF-8 are written \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class _Sink:
    """Passes bytes on and keeps their digest, so that the file can be compared with what was meant to be in it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._raw.write(data)

    def flush(self) -> None:
        self._raw.flush()


class _Source(io.RawIOBase):
    """Exactly `size` bytes of a file, whatever happens to it meanwhile: what is missing at its end becomes zeros.

    A tar header promises the size before the content is read.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._left = size
        self.digest = hashlib.sha256()
        self.fault = ""
        self.short = False

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = b""
        while len(data) < wanted and not self.short:
            piece = self._piece(wanted - len(data))
            self.short = not piece
            data += piece
        data += bytes(wanted - len(data))
        self._left -= wanted
        self.digest.update(data)
        return data

    def _piece(self, size: int) -> bytes:
        try:
            return os.read(self._descriptor, size)
        except OSError as fault:
            self.fault = fault.strerror or str(fault)
            return b""


class _Unreadable(Exception):
    """A source can't be read; an OSError that passes `_Writer` is therefore the archive's own."""


class _Writer:
    """Adds members to an open tar and remembers what it added."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.entries: list[Entry] = []
        self.notes = Notes()

    def add(self, parent: int, base: str, name: str) -> None:
        """Add `base` in the folder with descriptor `parent`, under `name`, and all that is below it."""
        try:
            found = _look(parent, base)
            if stat.S_ISLNK(found.st_mode):
                self._add_link(parent, base, name, found)
            elif stat.S_ISDIR(found.st_mode):
                self._add_folder(parent, base, name)
            elif stat.S_ISREG(found.st_mode):
                self._add_file(parent, base, name)
            else:
                self.notes.special.append(name)
        except FileNotFoundError:
            self.notes.vanished.append(name)
        except _Unreadable as fault:
            self.notes.unreadable.append(f"{name}: {fault}")

    def add_manifest(self, created: int) -> None:
        """Add the digests of all files so far, for `sha256sum -c`."""
        text = b"".join(_manifest_line(entry) for entry in self.entries if entry.kind == "file")
        header = tarfile.TarInfo(MANIFEST)
        header.size, header.mtime = len(text), created
        self._tar.addfile(header, io.BytesIO(text))
        self.entries.append(Entry(MANIFEST, "file", len(text), hashlib.sha256(text).hexdigest()))

    def _add_link(self, parent: int, base: str, name: str, found: os.stat_result) -> None:
        with _reading():
            target = os.readlink(base, dir_fd=parent)
        self._put(found, Entry(name, "link", target=target))

    def _add_folder(self, parent: int, base: str, name: str) -> None:
        if name.count("/") >= MAX_DEPTH:
            raise _Unreadable(f"more than {MAX_DEPTH} folders deep")
        with _opened(parent, base, os.O_DIRECTORY) as descriptor:
            with _reading():
                children = sorted(os.listdir(descriptor))
            self._put(os.fstat(descriptor), Entry(name, "folder"))
            for child in children:
                self.add(descriptor, child, f"{name}/{child}")

    def _add_file(self, parent: int, base: str, name: str) -> None:
        # O_NONBLOCK: the name may have become a pipe since it was looked at, and opening one would wait for a writer.
        with _opened(parent, base, os.O_NONBLOCK) as descriptor:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                self.notes.special.append(name)
                return
            source = _Source(descriptor, before.st_size)
            self._put(before, Entry(name, "file", before.st_size), source)
        if source.fault:
            raise _Unreadable(source.fault)
        if _identity(before) != _identity(_look(parent, base)):
            self.notes.changed.append(name)

    def _put(self, found: os.stat_result, entry: Entry, source: _Source | None = None) -> None:
        header = tarfile.TarInfo(entry.name)
        header.mode, header.mtime = stat.S_IMODE(found.st_mode), int(found.st_mtime)
        header.uid, header.gid = found.st_uid, found.st_gid
        header.type = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}[entry.kind]
        header.size, header.linkname = entry.size, entry.target
        self._tar.addfile(header, source)
        digest = source.digest.hexdigest() if source is not None else ""
        self.entries.append(Entry(entry.name, entry.kind, entry.size, digest, entry.target))


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as fault:
        raise _Unreadable(fault.strerror or str(fault)) from None


@contextlib.contextmanager
def _opened(parent: int, base: str, flags: int) -> Iterator[int]:
    with _reading():
        descriptor = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _look(parent: int, base: str) -> os.stat_result:
    with _reading():
        return os.stat(base, dir_fd=parent, follow_symlinks=False)


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _manifest_line(entry: Entry) -> bytes:
    """A line of `sha256sum`, which marks a name with an escaped backslash or line feed by a backslash in front."""
    name = entry.name.replace("\\", "\\\\").replace("\n", "\\n")
    mark = "" if name == entry.name else "\\"
    return os.fsencode(f"{mark}{entry.sha256}  {name}\n")


def _digest_of(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def _entry_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    if member.issym():
        return Entry(member.name, "link", target=member.linkname)
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        return Entry(member.name, "folder" if member.isdir() else "other")
    digest, size = hashlib.sha256(), 0
    while piece := content.read(CHUNK):
        digest.update(piece)
        size += len(piece)
    return Entry(member.name, "file", size, digest.hexdigest())


def _differences(expected: Sequence[Entry], found: Sequence[Entry]) -> list[str]:
    wanted = {entry.name: entry for entry in expected}
    there = {entry.name: entry for entry in found}
    problems = [f"{shown(name)} is not in the archive" for name in wanted if name not in there]
    problems += [f"{shown(name)} should not be in the archive" for name in there if name not in wanted]
    for name, entry in wanted.items():
        other = there.get(name, entry)
        problems += [
            f"{shown(name)}: {key} is {getattr(other, key)!r} instead of {getattr(entry, key)!r}"
            for key in ("kind", "size", "sha256", "target")
            if getattr(other, key) != getattr(entry, key)
        ]
    if not problems and len(found) != len(expected):
        problems.append(f"the archive has {len(found)} members instead of {len(expected)}")
    return problems
