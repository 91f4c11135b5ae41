"""A pipe of this process to itself."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import suppress

import pytest

from system.self_pipe import SelfPipe


@pytest.fixture
def pipe() -> Iterator[SelfPipe]:
    made = SelfPipe()
    yield made
    made.close()


def is_readable(pipe: SelfPipe) -> bool:
    return bool(select.select([pipe.descriptor], [], [], 0)[0])


def test_it_is_readable_from_wake_until_clear(pipe: SelfPipe) -> None:
    assert not is_readable(pipe)
    assert pipe.clear() == b"", "nothing is waited for"
    pipe.wake()
    pipe.wake()
    assert is_readable(pipe)
    assert len(pipe.clear()) == 2
    assert not is_readable(pipe)


def test_one_clear_is_enough_however_often_it_was_woken(pipe: SelfPipe) -> None:
    for _ in range(10_000):
        pipe.wake()
    pipe.clear()
    assert not is_readable(pipe)


def test_a_full_pipe_holds_up_nobody(pipe: SelfPipe) -> None:
    with suppress(BlockingIOError):
        while os.write(pipe.writer, bytes(65536)):
            pass
    pipe.wake()
    assert is_readable(pipe)


def test_after_its_end_nobody_is_woken_and_no_other_descriptor_is_written_to(pipe: SelfPipe) -> None:
    ends = pipe.descriptor, pipe.writer
    pipe.close()
    other = SelfPipe()
    try:
        assert {other.descriptor, other.writer} == set(ends), "the numbers are given out again"
        pipe.wake()
        pipe.close()
        assert not is_readable(other)
    finally:
        other.close()
