"""Checks that a release is ready, and makes its annotated tag. It pushes nothing.

    python3 tools/release.py [--check COMMAND]

The tree is clean. The version of core/version.py is newer than that of every tag. CHANGELOG.md has a dated section for
it, and nothing is left under Unreleased. COMMAND (default: make test) ends with 0 and leaves the tree as it was; it is
split into words, and no shell reads it. The tag is `v<version>`, and its message is the section of the changelog.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
VERSION_FILE = "core/version.py"
CHANGELOG = "CHANGELOG.md"
UNRELEASED = "Unreleased"

_VERSION = re.compile(r'^VERSION = "(.+)"$', re.MULTILINE)
_HEADING = re.compile(r"^## (\S+)(?: - (\S+))?$", re.MULTILINE)


class NotReady(Exception):
    """Why the release is not ready, and what to do."""


def version_of(root: Path) -> str:
    """The version to release, in its normal form. Raises `NotReady`."""
    found = _VERSION.search((root / VERSION_FILE).read_text(encoding="utf-8"))
    try:
        version = str(Version(found[1])) if found else ""
    except InvalidVersion:
        version = ""
    if not found or version != found[1]:
        raise NotReady(f'{VERSION_FILE} has no line like VERSION = "1.2.3"')
    return version


def notes_of(changelog: str, version: str) -> str:
    """What the changelog says of a version. Raises `NotReady` unless it says it, with a date, and nothing waits.

    The headings are those of Keep a Changelog 1.1.0: `## Unreleased` and `## 1.2.3 - 2026-02-25`.
    """
    sections = {
        heading[1]: (heading[2], changelog[heading.end() : following.start() if following else None].strip())
        for heading, following in pairwise([*_HEADING.finditer(changelog), None])
        if heading
    }
    if version not in sections:
        raise NotReady(f"{CHANGELOG} has no section ## {version} - DATE")
    day, notes = sections[version]
    if not day or not _is_date(day):
        raise NotReady(f"{CHANGELOG}: the section {version} has no date: ## {version} - YYYY-MM-DD")
    if not re.search(r"^- ", notes, re.MULTILINE):
        raise NotReady(f"{CHANGELOG}: the section {version} names no change")
    if sections.get(UNRELEASED, ("", ""))[1]:
        raise NotReady(f"{CHANGELOG}: move what stands under {UNRELEASED} to the section {version}")
    return notes


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def release(root: Path, check: list[str]) -> str:
    """Checks everything, sets the tag, and returns its name. Raises `NotReady`."""
    _demand_clean(root, "Commit or put aside")
    version = version_of(root)
    tag = f"v{version}"
    _demand_newer(root, version)
    notes = notes_of((root / CHANGELOG).read_text(encoding="utf-8"), version)
    commit = _git(root, "rev-parse", "HEAD")
    if subprocess.run(check, cwd=root, check=False).returncode != 0:
        raise NotReady(f"{shlex.join(check)} failed")
    _demand_clean(root, f"{shlex.join(check)} has changed")
    if _git(root, "rev-parse", "HEAD") != commit:
        raise NotReady("Another commit was checked out while the checks ran")
    # Lines of the message begin with #; git would remove them as comments.
    _git(
        root, "tag", "--annotate", "--cleanup=whitespace", "--message", f"puruto-cron {version}\n\n{notes}", tag, commit
    )
    return tag


def _demand_clean(root: Path, what: str) -> None:
    changed = _git(root, "status", "--porcelain")
    if changed:
        raise NotReady(f"The tree is not clean. {what}:\n{changed}")


def _demand_newer(root: Path, version: str) -> None:
    for tag in _git(root, "tag", "--list", "v*").split():
        try:
            released = Version(tag)
        except InvalidVersion:
            continue
        if released >= Version(version):
            raise NotReady(f"{tag} is released already: {VERSION_FILE} needs a newer version than {version}")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotReady(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.rstrip()


def main(arguments: list[str], root: Path = ROOT) -> int:
    """The exit code: 0 if the tag was set, 1 if the release is not ready, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="release.py", description="Checks a release and sets its tag.")
    parser.add_argument("--check", default="make test", metavar="COMMAND", help="what has to end with 0 before the tag")
    options = parser.parse_args(arguments)
    try:
        tag = release(root, shlex.split(options.check))
    except NotReady as error:
        sys.stderr.write(f"No release: {error}\n")
        return 1
    sys.stdout.write(f"Tagged {tag}. Push it: git push --follow-tags\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
