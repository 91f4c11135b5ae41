"""Reads a database into memory, for when its disk is full: then SQLite can't even read it, as it needs a -shm file.

Source: sqlite.org/fileformat2.html "The Write-Ahead Log".
"""

from __future__ import annotations

import os
import struct

#: A larger database is not read into memory.
MOST_BYTES = 1 << 30
_HEADER, _FRAME = 32, 24
#: Where the header says that the database has a log.
_VERSIONS = slice(18, 20)


def content_of(path: str) -> bytes:
    """The committed content of the database file and its log, as a file without a log. Raises OSError, ValueError."""
    for _ in range(5):
        before = _state(path)
        if sum(size for _, size in before) > MOST_BYTES:
            raise ValueError("it is too large")
        data = bytearray(_bytes(path))
        _apply(_bytes(f"{path}-wal"), data)
        if _state(path) == before:
            data[_VERSIONS] = b"\1\1"
            return bytes(data)
    raise ValueError("it keeps changing")


def _state(path: str) -> list[tuple[int, int]]:
    found = []
    for name in (path, f"{path}-wal"):
        try:
            status = os.stat(name)
        except FileNotFoundError:
            found.append((0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return found


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        return b""


def _apply(log: bytes, data: bytearray) -> None:
    """Writes the committed frames of a log over the pages of the database."""
    if len(log) < _HEADER:
        return
    magic, _, page_size, _, salts = struct.unpack(">IIII8s8x", log[:_HEADER])
    if magic & ~1 != 0x377F0682 or page_size < 512:
        return
    order = ">" if magic & 1 else "<"
    sums = _checksum(log[:24], (0, 0), order)
    if sums != struct.unpack(">II", log[24:_HEADER]):
        return
    pages: dict[int, bytes] = {}
    for start in range(_HEADER, len(log) - _FRAME - page_size + 1, _FRAME + page_size):
        head, page = log[start : start + _FRAME], log[start + _FRAME : start + _FRAME + page_size]
        number, size = struct.unpack(">II", head[:8])
        sums = _checksum(page, _checksum(head[:8], sums, order), order)
        if head[8:16] != salts or sums != struct.unpack(">II", head[16:]):
            # What follows is of an earlier round, or was not written to its end.
            return
        pages[number] = page
        if size:
            # The last frame of a transaction holds the size of the database in pages.
            del data[size * page_size :]
            data.extend(bytes(size * page_size - len(data)))
            for changed, content in pages.items():
                if changed <= size:
                    data[(changed - 1) * page_size : changed * page_size] = content
            pages = {}


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return first, second
