"""Checks of what starts the ticks: the line in the crontab."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

from app import installation
from core.permissions import is_missing
from doctor.findings import Finding, error, fine, warning
from doctor.scene import Scene
from install.crontab_blocks import blocks, twins
from install.crontab_blocks import left_behind as gone
from install.crontab_machine import cron_environment, cron_processes, is_here, of_system, of_user
from install.crontab_starts import Start
from reports.health import TickLine

SUBJECT = "crontab"
_SECONDS = 10.0
_SHOW = "python3 main.py install-crontab --print"
_USE_OURS = f"A line that works is shown by: {_SHOW}"
#: Libraries that a tick needs when a job is due.
LIBRARIES = ("click", "croniter", "pydantic", "dotenv", "tzlocal", "jsonschema")


def check(scene: Scene) -> Iterator[Finding]:
    """Whether a crontab line starts this copy's tick each minute, with an interpreter that works."""
    yield from left_behind(scene)
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
        yield error("CRON_INTERPRETER_MISSING", SUBJECT, text, _USE_OURS)
    for line in ours:
        folder = os.path.dirname(line.log)
        if line.log and not _is_folder(folder):
            text = f"The line in {line.source} starts nothing: it writes to {line.log}, but {folder} is not a folder"
            yield error("CRON_LOG_FOLDER_MISSING", SUBJECT, text, f"Make it. {_USE_OURS}")
    if not any(line.each_minute for line in ours):
        text = f"The line in {ours[0].source} runs only at `{ours[0].when}`: jobs that are due in between start late"
        yield warning("CRON_NOT_EACH_MINUTE", SUBJECT, text, _USE_OURS)
    for line in ours[1:]:
        text = f"A second line starts the tick, in {line.source}. It does no harm, but starts a process each time"
        yield warning("CRON_TWICE", SUBJECT, text, "Remove one of the two.")
    yield from poor(scene, [line for line in ours if line not in broken])
    if len(broken) < len(ours):
        yield fine(SUBJECT, f"A line in {ours[0].source} starts the tick")


def left_behind(scene: Scene) -> Iterator[Finding]:
    """Blocks and lines that start what is gone, and so fail each minute; blocks of copies with the same database."""
    text = scene.crontab.text
    root, gone_blocks = str(scene.root), gone(text, str(scene.root))
    others = any(block.root != root for block in blocks(text))
    database = installation.known(scene.app).database if others else ""
    for block in twins(text, root, database):
        yield warning("CRON_BLOCK_TWIN", SUBJECT, block.twin_sentence, block.twin_hint)
    for block in gone_blocks:
        where = f"Lines {block.first} to {block.last} of the crontab"
        message = f"{where} start the copy in {block.root}, which does not exist: they fail each minute"
        if database and block.database == database:
            fix = "It is the folder in which this copy was. Replace it: python3 main.py install-crontab --replace"
            yield warning("CRON_BLOCK_GONE", SUBJECT, f"{message}. Their database is the one of this copy", fix)
        else:
            yield warning("CRON_BLOCK_GONE", SUBJECT, message, "If you do not need it, remove them with crontab -e.")
    in_blocks = {block.root for block in blocks(text)}
    for line in of_user(text):
        is_gone = line.ticks and os.path.isabs(line.program) and is_missing(line.program)
        if is_gone and os.path.dirname(line.program) not in in_blocks and not is_here(line, scene.root):
            message = f"A line of the crontab starts {line.program}, which does not exist: it fails each time"
            yield warning("CRON_BLOCK_GONE", SUBJECT, message, "Remove it with crontab -e.")


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
            yield error("CRON_INTERPRETER_POOR", SUBJECT, text, _USE_OURS)


def nothing_starts_it(scene: Scene, lines: list[Start], here: list[Start], trouble: str) -> Finding:
    """The finding that no crontab starts the tick; a warning if something else does, else an error."""
    text = "No crontab has a line that starts the tick of this copy"
    if here:
        text += f". A line in {here[0].source} starts it with other arguments: {' '.join(here[0].words[:3])}"
    elif others := [line for line in lines if line.ticks]:
        text += f". One in {others[0].source} starts another copy: {others[0].program}"
    text += f". {trouble}" if trouble else ""
    if trouble:
        # install-crontab would fail in the same way.
        return _nothing(scene, text, f"{scene.crontab.fix} The line is shown by: {_SHOW}")
    return _nothing(scene, text, f"Run: python3 main.py install-crontab. What it adds is shown by: {_SHOW}")


def _nothing(scene: Scene, text: str, fix: str) -> Finding:
    if scene.ticks_lately:
        return warning("NO_CRON_LINE", SUBJECT, f"{text}. But something else started a tick recently", fix)
    return error("NO_CRON_LINE", SUBJECT, f"{text}. Nothing starts it", fix)


def tick_line(scene: Scene) -> TickLine | None:
    """The line that should start the ticks of this copy, and when it got into the crontab; None if there is none."""
    line = line_here(scene)
    return TickLine(line.source, installation.known(scene.app).crontab_at) if line is not None else None


def what_to_look_at() -> str:
    """What to look at if the crontab has its line and no tick comes."""
    processes = cron_processes()
    if processes == []:
        return (
            "No process named cron or crond is running. Start it, as root: systemctl start cron (Debian, Ubuntu, SUSE) "
            "or crond (Fedora, Arch), rc-service crond start (Alpine); in a container start it yourself."
        )
    running = f"Process {processes[0]} looks like cron. " if processes else ""
    return (
        f"{running}See the end of db/tick.log; systemctl status cron (or crond); its log: journalctl -u cron (or "
        "crond), /var/log/syslog or /var/log/cron. If you added the line just now, wait for the next full minute."
    )


def line_here(scene: Scene) -> Start | None:
    """The first line with a working interpreter that starts the tick of this copy; None if there is none."""
    lines, _ = all_lines(scene)
    ours = (line for line in lines if is_here(line, scene.root) and line.ticks and _interpreter_exists(line))
    return next(ours, None)


def all_lines(scene: Scene) -> tuple[list[Start], str]:
    """Every line that starts a copy of this program, this user's first; and why that could not be read, or ""."""
    return [*of_user(scene.crontab.text), *of_system(scene.etc)], scene.crontab.trouble


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


def _interpreter_exists(line: Start) -> bool:
    if not line.interpreter:
        return os.access(line.program, os.X_OK)
    if "/" in line.interpreter:
        return os.path.isfile(line.interpreter) and os.access(line.interpreter, os.X_OK)
    return shutil.which(line.interpreter, path=line.environ.get("PATH", "/usr/bin:/bin")) is not None
