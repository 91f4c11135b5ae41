"""Files of people and other programs: only regular ones are read, and never more than a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core import strict_json
from core.bounded_file import UnfitFile, read_bounded


def test_a_file_of_the_limit_is_read_with_its_status(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    data, status = read_bounded(path, 10)
    assert (data, status.st_size) == (b"x" * 10, 10)


@pytest.mark.parametrize(("limit", "words"), [(9, "9 bytes"), (1024, "1 KiB"), (1 << 20, "1 MiB")])
def test_a_larger_one_is_refused_without_being_read(tmp_path: Path, limit: int, words: str) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnfitFile, match=f"is larger than {words}"):
        read_bounded(path, limit)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_fifo, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (Path.mkdir, "is a folder"),
    ],
)
def test_other_kinds_are_refused_at_once(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "file"
    make(path)  # type: ignore[operator]
    with pytest.raises(UnfitFile, match=words):
        read_bounded(path, 10)
    with pytest.raises(strict_json.BadJson, match=words.removeprefix("is ")):
        strict_json.read_object(path, 10)


def test_a_file_whose_size_the_system_does_not_know_is_bounded_too() -> None:
    path = "/proc/self/environ"
    if not os.path.exists(path):
        pytest.skip("needs /proc")
    assert os.stat(path).st_size == 0
    with pytest.raises(UnfitFile, match="is larger than 1 bytes"):
        read_bounded(path, 1)
