"""What the tests of single packages share: another user, and children that run a piece of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.workspace import PROJECT

NOBODY = 65_534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Another user, without any of root's rights, inside the `with`. Skips the test when we are not root."""
    if not hasattr(os, "setresuid") or os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder of its own that every user may enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="puruto-cron-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


def python(script: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """A child that runs a piece of Python with the program in its path."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error"},
        **options,
    )
