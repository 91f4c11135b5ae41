"""Whether this process may open more files."""

from __future__ import annotations

import os

from core.errors import machine_fault


def require_descriptors(number: int) -> None:
    """Raises `MachineExhausted` unless this process may open so many files more; OSError for another fault.

    Asked where the reason would be lost: what can't open a file later may take it for missing, and does not say why.
    Opens no file but /dev/null, because to close a database would end its locks.
    """
    opened: list[int] = []
    try:
        while len(opened) < number:
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise (machine_fault(error) or error) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)
