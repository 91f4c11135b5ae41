"""Checks of what starts the ticks: the line in the crontab."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from core.bounded_file import read_bounded
from doctor.findings import Finding, error, fine, warning
from doctor.scene import Scene, account
from install import units
from install.crontab_starts import Start, read

SUBJECT = "crontab"
_SECONDS = 10.0
#: A longer crontab is not read.
_MOST_BYTES = 1 << 20
#: Libraries that a tick needs when a job is due.
LIBRARIES = ("click", "croniter", "pydantic", "dotenv", "tzlocal", "jsonschema")
#: The message of `crontab -l` when the user has no crontab.
_NO_CRONTAB = "no crontab for"


def cron_environment() -> dict[str, str]:
    """The environment that cron gives to a command. Source: crontab(5); PATH is Debian's."""
    name, home = account()
    return {"HOME": home, "LOGNAME": name, "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}


def check(scene: Scene) -> Iterator[Finding]:
    """Whether a crontab line starts this copy's tick each minute, with an interpreter that works."""
    lines, trouble = all_lines(scene)
    here = [line for line in lines if is_here(line, scene.root)]
    ours = [line for line in here if line.ticks]
    if not ours and scene.daemon["running"]:
        yield fine(SUBJECT, f"No line is needed: the daemon runs the jobs, {scene.daemon_name}")
        return
    if not ours:
        yield nothing_starts_it(scene, lines, here, trouble)
        return
    broken = [line for line in ours if not _interpreter_exists(line)]
    for line in broken:
        text = f"The line in {line.source} starts {line.interpreter}, which does not exist or can't be executed"
        yield error("CRON_INTERPRETER_MISSING", SUBJECT, text, f"Use this one: {proposed(scene)}")
    for line in ours:
        folder = os.path.dirname(line.log)
        if line.log and not _is_folder(folder):
            text = f"The line in {line.source} starts nothing: it writes to {line.log}, but {folder} is not a folder"
            yield error("CRON_LOG_FOLDER_MISSING", SUBJECT, text, f"Make it, or use this line: {proposed(scene)}")
    if not any(line.each_minute for line in ours):
        text = f"The line in {ours[0].source} runs only at `{ours[0].when}`: jobs that are due in between start late"
        yield warning("CRON_NOT_EACH_MINUTE", SUBJECT, text, f"Use this one: {proposed(scene)}")
    for line in ours[1:]:
        text = f"A second line starts the tick, in {line.source}. It does no harm, but starts a process each time"
        yield warning("CRON_TWICE", SUBJECT, text, "Remove one of the two.")
    yield from poor(scene, [line for line in ours if line not in broken])
    if len(broken) < len(ours):
        yield fine(SUBJECT, f"A line in {ours[0].source} starts the tick")


def poor(scene: Scene, lines: list[Start]) -> Iterator[Finding]:
    """Lines whose interpreter lacks a library that a tick needs."""
    for line in lines:
        # The paths are compared without following links: a venv's python is often a link to one without the libraries.
        if "/" not in line.interpreter or os.path.abspath(line.interpreter) == os.path.abspath(sys.executable):
            continue
        command = [line.interpreter, "-c", f"import {', '.join(LIBRARIES)}"]
        answer = scene.ask(command, cron_environment(), "/", _SECONDS)
        if answer.code not in (0, None):
            last_line = answer.err.strip().rpartition("\n")[2][:200]
            text = f"The line in {line.source} starts {line.interpreter}, which lacks a library: {last_line}"
            yield error("CRON_INTERPRETER_POOR", SUBJECT, text, f"Use this one: {proposed(scene)}")


def nothing_starts_it(scene: Scene, lines: list[Start], here: list[Start], trouble: str) -> Finding:
    """The finding that no crontab starts the tick; a warning if something else does, else an error."""
    text = "No crontab has a line that starts the tick of this copy"
    if here:
        text += f". A line in {here[0].source} starts it with other arguments: {' '.join(here[0].words[:3])}"
    elif others := [line for line in lines if line.ticks]:
        text += f". One in {others[0].source} starts another copy: {others[0].program}"
    text += f". {trouble}" if trouble else ""
    fix = f"python3 main.py install-crontab puts this line into your crontab: {proposed(scene)}"
    if scene.ticks_lately:
        return warning("NO_CRON_LINE", SUBJECT, f"{text}. But something else started a tick recently", fix)
    return error("NO_CRON_LINE", SUBJECT, f"{text}. Nothing starts it", fix)


def proposed(scene: Scene) -> str:
    """The line that `install-crontab` writes for this copy."""
    folder = scene.settings.db_path.parent if scene.settings else scene.root / "db"
    return units.crontab_line(units.copy_in(scene.root, folder))


def line_here(scene: Scene) -> Start | None:
    """The first line with a working interpreter that starts the tick of this copy; None if there is none."""
    lines, _ = all_lines(scene)
    ours = (line for line in lines if is_here(line, scene.root) and line.ticks and _interpreter_exists(line))
    return next(ours, None)


def all_lines(scene: Scene) -> tuple[list[Start], str]:
    """Every line that starts a copy of this program, this user's first; and why that could not be read, or ""."""
    environ = cron_environment()
    answer = scene.ask(["crontab", "-l"], scene.app.environ, "/", _SECONDS)
    lines, trouble = [], ""
    if answer.code == 0:
        lines = read(answer.out, "the crontab of this user", environ, system=False)
    elif answer.code is None:
        trouble = f"The program crontab can't be run: {answer.reason}"
    elif _NO_CRONTAB not in answer.err:
        trouble = f"crontab -l says: {answer.err.strip()[:200]}"
    for path in system_files(scene.etc):
        lines += read(_text(path), str(path), environ, system=True)
    return lines, trouble


def is_here(line: Start, root: Path) -> bool:
    """Whether a line starts this copy: its main.py, or the command that is installed in its folder."""
    if os.path.basename(line.program) == "main.py":
        return os.path.realpath(line.program) == os.path.realpath(root / "main.py")
    return os.path.realpath(line.program).startswith(f"{os.path.realpath(root)}{os.sep}")


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


def _interpreter_exists(line: Start) -> bool:
    if not line.interpreter:
        return os.access(line.program, os.X_OK)
    if "/" in line.interpreter:
        return os.path.isfile(line.interpreter) and os.access(line.interpreter, os.X_OK)
    return shutil.which(line.interpreter, path=line.environ.get("PATH", "/usr/bin:/bin")) is not None


def _text(path: Path) -> str:
    """The text of a system crontab; "" if it can't be read."""
    try:
        return read_bounded(path, _MOST_BYTES)[0].decode("utf-8", "replace")
    except OSError:
        return ""


def system_files(etc: str) -> list[Path]:
    """The system crontabs that cron reads; in cron.d it ignores names with a dot."""
    folder = Path(etc) / "cron.d"
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        names = []
    return [Path(etc) / "crontab", *(folder / name for name in names if re.fullmatch(r"[A-Za-z0-9_-]+", name))]
