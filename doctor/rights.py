"""Checks of permissions: can other users change what this program trusts, or read what is secret?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.errors import CronError
from doctor.findings import Few, Finding, fine, warning
from doctor.scene import Scene
from invocation.policy import POLICY_FILE
from invocation.runners.invoke import FILE as INVOKE
from invocation.targets import Targets

SUBJECT = "rights"


def check(scene: Scene) -> Iterator[Finding]:
    """The files and folders of this copy."""
    paths = [scene.root, *(scene.root / name for name in (".jobs.json", ".env", POLICY_FILE, "main.py"))]
    if scene.settings is not None:
        paths += [scene.settings.db_path.parent, scene.settings.db_path]
    yield from world_writable(paths)
    yield from secret(scene.root / ".env")
    if scene.settings is not None:
        settings = scene.settings
        yield from readable([scene.root / "db", settings.runs_folder, settings.local_events.parent])
    yield fine(SUBJECT, f"Checked {len(paths)} files and folders")


def check_targets(scene: Scene) -> Iterator[Finding]:
    """The folders of targets, and the programs that are started there."""
    settings, few = scene.need_settings, Few()
    targets = Targets(settings.home, settings.data_path)
    names = sorted(
        {str(row["puruto_target"]) for row in scene.need_store.definitions.table(scene.now) if row["enabled"]}
    )
    for name in names:
        try:
            folder = targets.resolve(name)
        except CronError:
            continue
        yield from (finding for finding in world_writable([folder, folder / INVOKE]) if few.passes(finding))
    yield from few.remaining(SUBJECT)


def world_writable(paths: Iterable[Path]) -> Iterator[Finding]:
    """Paths that every user may change. Links are followed; missing paths are ignored."""
    for path in paths:
        mode = _mode(path)
        if mode is not None and mode & stat.S_IWOTH:
            text = f"Every user of this machine can change {path}, and so decide what runs under your account"
            yield warning("WORLD_WRITABLE", SUBJECT, text, f"Run: chmod o-w {path}")


def secret(path: Path) -> Iterator[Finding]:
    """Whether every user may read the `.env`."""
    mode = _mode(path)
    if mode is not None and mode & stat.S_IROTH:
        text = f"Every user of this machine can read {path}"
        yield warning("ENV_READABLE", SUBJECT, text, f"Run: chmod 600 {path}")


def readable(folders: Iterable[Path]) -> Iterator[Finding]:
    """Folders that every user may enter. They hold the output of jobs, and db/tick.log."""
    for folder in folders:
        mode = _mode(folder)
        if mode is not None and mode & stat.S_IXOTH:
            text = f"Every user of this machine can read files in {folder}"
            yield warning("FOLDER_READABLE", SUBJECT, text, "Run: python3 main.py init-db, which closes it to others")


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError:
        return None
