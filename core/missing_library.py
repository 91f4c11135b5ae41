"""The error for a library that can't be imported: which Python lacks it, why, and what to do.

A module of its own, because the idle tick imports `core.errors` and needs none of this.
"""

from __future__ import annotations

import glob
import os
import sys

from core.errors import DependencyMissing


def missing_library(error: ModuleNotFoundError) -> DependencyMissing:
    """The error for a failed import: it names the interpreter, the library and the fix."""
    library = str(error.name)
    details: dict[str, object] = {"library": library, "interpreter": sys.executable}
    ours = "{}.{}".format(*sys.version_info)
    if has_it := _versions_with(library.partition(".")[0]) - {ours}:
        message = f"{sys.executable} is Python {ours} now, but its libraries are for Python {', '.join(sorted(has_it))}"
        hint = "Run `make install` in puruto-cron's folder: it builds .venv anew. The crontab can stay as it is."
        return DependencyMissing(f"{message}, as after an upgrade of the system", hint=hint, details=details)
    hint = "Run `make install` once, then use .venv/bin/python (or `. .venv/bin/activate` in this shell)."
    environment = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ".venv", "bin", "python")
    if os.path.islink(environment) and not os.path.exists(environment):
        hint = f"{environment} is gone, as after an upgrade of the system. {hint}"
    message = f"{sys.executable} has no library {library!r}, which puruto-cron needs"
    return DependencyMissing(message, hint=hint, details=details)


def _versions_with(library: str) -> set[str]:
    """The versions of Python for which the environment of this one has a library."""
    paths = glob.iglob(os.path.join(glob.escape(sys.prefix), "lib", "python3.*", "site-packages", glob.escape(library)))
    return {os.path.basename(os.path.dirname(os.path.dirname(path))).removeprefix("python") for path in paths}
