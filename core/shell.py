"""Words of a command that people are told to run."""

from __future__ import annotations

import shlex


def quoted(word: object) -> str:
    """A path, or any other word, as a shell must read it: in single quotes unless it is plain."""
    return shlex.quote(str(word))
