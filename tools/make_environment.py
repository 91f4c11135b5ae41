"""Makes, updates and mends `.venv`, for `make install`, `make dev` and the like. Standard library only.

    python3 tools/make_environment.py [--this-python] [PART ...]

A part is a lock file (`telegram`, `dev`), or an extra of pyproject.toml that no lock file has. What users need is there
always, and a part that was asked for once stays. An environment that still fits is left as it is, which takes a moment.

- A new one is built beside the old one, which it replaces when it is complete. If that fails, the old one stays.
- Scripts in .venv/bin find their interpreter from where they lie. So after a move of this folder they still work, and
  only the `activate` scripts have to be written again.
- The stamp, .venv/.installed, says for which folder, which Python and which lock files it was made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
#: Beside it, so that a rename puts the new one into its place.
BUILT, REPLACED = ROOT / ".venv.new", ROOT / ".venv.old"
STAMP = ".installed"
BASE = "requirements.lock"
#: `dev` has all that the others have, with the same pins.
LOCKS = {"telegram": "examples/purutos/puruto-telegram/requirements.lock", "dev": "requirements-dev.lock"}
NO_VENV = "The venv module is missing: on Debian and Ubuntu, apt-get install python3-venv"
#: Works wherever the environment lies, also where the kernel would not start a `#!` line: with a blank in its path.
#: For Python the second and the third line are a text.
_SCRIPT_HEAD = b"""#!/bin/sh
'''exec' "$(dirname -- "$(readlink -f -- "$0")")/python" "$0" "$@"
' '''
"""
#: The first lines that pip writes, in both forms.
_PIPS_HEAD = re.compile(rb"#![^\n]*python[^\n]*\n|#!/bin/sh\n'''exec' [^\n]*\n' '''\n")
_COMMAND = """#!/bin/sh
# Starts puruto-cron from wherever its folder lies.
bin=$(dirname -- "$(readlink -f -- "$0")")
exec "$bin/python" "$bin/../../main.py" "$@"
"""


class Failed(Exception):
    """The environment could not be made; the text says why."""


def main(words: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes, updates and mends .venv.")
    parser.add_argument("--this-python", action="store_true", help="build it anew if it is of another Python")
    parser.add_argument("parts", nargs="*", metavar="PART")
    given = parser.parse_args(words)
    try:
        provide(set(given.parts), this_python=given.this_python)
    except Failed as failure:
        say(str(failure))
        return 1
    except OSError as error:
        say(obstacle(error))
        return 1
    except KeyboardInterrupt:
        say("Stopped. The .venv that was there is as it was; run it again for a complete one.")
        return 130
    return 0


def obstacle(error: OSError) -> str:
    """Why a file could not be changed: usually because root made it."""
    for folder in (ENVIRONMENT, BUILT, REPLACED):
        paths = [folder, *folder.rglob("*")] if os.path.lexists(folder) else []
        if any(path.lstat().st_uid != os.geteuid() for path in paths):
            return (
                f"{folder} has files of another user, and can't be changed. Run: sudo chown -R"
                f" {os.geteuid()}: {shlex.quote(str(folder))}"
            )
    return f"{error.filename or ROOT} can't be changed: {error.strerror}"


def provide(parts: set[str], *, this_python: bool) -> None:
    """Sees to it that `.venv` has these parts, fits its Python, and lies where its scripts say."""
    tidy()
    stamp = stamp_in(ENVIRONMENT)
    parts |= set(stamp.get("parts", []))
    wanted = {"folder": str(ROOT), "parts": sorted(parts), "locks": digests(parts)}
    reason = why_anew(stamp, this_python=this_python)
    if reason:
        say(f"Building .venv: {reason}")
        build(parts)
    elif all(stamp[name] == value for name, value in wanted.items()):
        return
    else:
        fit(ENVIRONMENT, parts, locks_changed=stamp["locks"] != wanted["locks"])
    python = version_of(ENVIRONMENT)
    (ENVIRONMENT / STAMP).write_text(json.dumps({**wanted, "python": python}, indent=2) + "\n", encoding="utf-8")
    give(ENVIRONMENT)


def give(folder: Path) -> None:
    """Gives what root has made to the owner of this folder, who could not change it otherwise."""
    owner = ROOT.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def tidy() -> None:
    """Removes what a build that was interrupted has left."""
    if REPLACED.exists() and not os.path.lexists(ENVIRONMENT):
        REPLACED.rename(ENVIRONMENT)
    for path in (BUILT, REPLACED):
        remove(path)


def why_anew(stamp: dict[str, Any], *, this_python: bool) -> str:
    """Why the environment can't be kept; "" if it can."""
    if not os.path.lexists(ENVIRONMENT):
        return "there is none yet"
    if not stamp:
        return "the one that is there was not made by this version of puruto-cron"
    version = version_of(ENVIRONMENT)
    if not version:
        return "its Python is gone, as after an upgrade of the system"
    if version != stamp["python"]:
        return f"its Python is {version} now, and its libraries are for {stamp['python']}"
    ours = "{}.{}".format(*sys.version_info)
    if this_python and version != ours:
        return f"it has Python {version}, and {ours} is asked for"
    return ""


def build(parts: set[str]) -> None:
    """Builds the environment anew, beside the one that is there."""
    try:
        create(BUILT)
        # Python 3.11 brings it along; nothing here needs it.
        pip(BUILT, "uninstall", "--yes", "setuptools")
        fill(BUILT, parts)
    except Failed:
        remove(BUILT)
        raise
    if os.path.lexists(ENVIRONMENT):
        ENVIRONMENT.rename(REPLACED)
    BUILT.rename(ENVIRONMENT)
    remove(REPLACED)
    fit(ENVIRONMENT, parts, locks_changed=False)


def create(folder: Path) -> None:
    """Makes an environment with pip. Raises `Failed`."""
    # An interpreter that is in an environment itself hands on the one that it was made from.
    if subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False).returncode:
        raise Failed(NO_VENV)


def fit(folder: Path, parts: set[str], *, locks_changed: bool) -> None:
    """Brings an environment that works to this place, and to these parts."""
    # Writes the scripts `activate` for this place, and leaves the libraries alone.
    run(folder, "-m", "venv", "--without-pip", str(folder))
    if locks_changed:
        fill(folder, parts)


def fill(folder: Path, parts: set[str]) -> None:
    """Installs what the lock files pin, and the command `puruto-cron`."""
    locks = [BASE] if "dev" not in parts else []
    locks += [LOCKS[part] for part in sorted(parts & LOCKS.keys())]
    pip(
        folder, "install", "--require-hashes", *(word for lock in locks for word in ("--requirement", str(ROOT / lock)))
    )
    if loose := ranges(parts):
        pip(folder, "install", *loose)
    if "dev" in parts:
        (site_packages,) = folder.glob("lib/python3.*/site-packages")
        # Tools that lie in a folder of their own import the program. Relative, so that it survives a move, and so that
        # Python starts in any locale: it reads such a file in the encoding of the locale.
        (site_packages / "puruto-cron.pth").write_text(os.path.relpath(folder.parent, site_packages), encoding="ascii")
    command = folder / "bin" / "puruto-cron"
    command.write_text(_COMMAND, encoding="ascii")
    command.chmod(0o755)
    make_movable(folder / "bin")


def make_movable(programs: Path) -> None:
    """Gives the Python scripts of a folder a first line that finds the interpreter beside them."""
    for path in programs.iterdir():
        if path.is_symlink() or not path.is_file():
            continue
        text = path.read_bytes()
        head = _PIPS_HEAD.match(text)
        if head is not None and head[0] != _SCRIPT_HEAD:
            path.write_bytes(_SCRIPT_HEAD + text[head.end() :])


def ranges(parts: set[str]) -> list[str]:
    """What pyproject.toml asks for in the extras that have no lock file."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    unlocked = sorted(parts - LOCKS.keys())
    unknown = [part for part in unlocked if part not in extras]
    if unknown:
        raise Failed(f"There is no part {unknown[0]!r}: see [project.optional-dependencies] in pyproject.toml")
    return [text for part in unlocked for text in extras[part]]


def digests(parts: set[str]) -> dict[str, str]:
    """The digests of the lock files of these parts; of parts without one, of what they ask for."""
    files = [BASE, *(LOCKS[part] for part in sorted(parts & LOCKS.keys()))]
    found = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in files}
    return {**found, "": "\n".join(ranges(parts))}


def stamp_in(folder: Path) -> dict[str, Any]:
    """What the stamp says; {} if there is none that can be read."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    complete = isinstance(stamp, dict) and {"folder", "python", "parts", "locks"} <= stamp.keys()
    return stamp if complete else {}


def version_of(folder: Path) -> str:
    """Such as 3.11: the version of an environment's Python; "" if it does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([folder / "bin" / "python", "-ISc", code], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def pip(folder: Path, *words: str) -> None:
    """Runs pip in an environment. Raises `Failed`; pip itself has said why."""
    run(folder, "-m", "pip", "--quiet", "--disable-pip-version-check", *words)


def run(folder: Path, *words: str) -> None:
    """Runs the Python of an environment, with nothing of another one. Raises `Failed` if that fails."""
    command = [str(folder / "bin" / "python"), *words]
    try:
        done = subprocess.run(command, cwd=ROOT, check=False)
    except OSError as error:
        raise Failed(f"{command[0]} can't be started: {error.strerror}") from None
    if done.returncode:
        raise Failed(f"This failed: {shlex.join(command)}")


def remove(path: Path) -> None:
    """Removes a folder, or a link to one."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def say(text: str) -> None:
    """A line for the person who waits."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
