"""Folders for their owner alone. A leaf."""

from __future__ import annotations

import os


def make_private(path: str) -> None:
    """Makes a folder, and those above it that are missing, each with mode 0700 whatever the umask. Raises OSError.

    `os.makedirs` gives its mode to the last one only.
    """
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent in ("", path):
            raise
        make_private(parent)
        make_private(path)
    except OSError:
        # Of a folder that is there a read-only disk may say anything.
        if not os.path.isdir(path):
            raise
