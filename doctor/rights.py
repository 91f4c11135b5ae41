"""Checks of permissions: can other users change what this program trusts, or read what is secret?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from core.errors import CronError
from core.permissions import name_of
from core.shell import quoted
from doctor.findings import Few, Finding, error, fine, warning
from doctor.scene import Scene
from invocation.policy import POLICY_FILE
from invocation.runners.invoke import FILE as INVOKE
from invocation.targets import Targets

SUBJECT = "rights"
#: Most files and folders whose owners are looked at.
_MOST_LOOKED_AT = 200_000


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
        outbox = settings.telegram_outbox
        written = [
            settings.db_path.parent,
            settings.runs_folder,
            settings.local_events.parent,
            scene.root / ".jobs.json",
            *(scene.root / name for name in (".venv", ".venv.new", ".venv.old")),
        ]
        yield from foreign(scene.root, [path for path in written if path.is_relative_to(scene.root)])
        yield from foreign(settings.telegram_path, [outbox.parent])
    yield fine(SUBJECT, f"Checked {len(paths)} files and folders")


def check_targets(scene: Scene) -> Iterator[Finding]:
    """The folders of targets, and the programs that are started there."""
    settings, few = scene.need_settings, Few()
    targets = Targets(settings.home, settings.data_path, settings.root)
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
            yield warning("WORLD_WRITABLE", SUBJECT, text, f"Run: chmod o-w {quoted(path)}")


def secret(path: Path) -> Iterator[Finding]:
    """Whether every user may read the `.env`."""
    mode = _mode(path)
    if mode is not None and mode & stat.S_IROTH:
        text = f"Every user of this machine can read {path}"
        yield warning("ENV_READABLE", SUBJECT, text, f"Run: chmod 600 {quoted(path)}")


def readable(folders: Iterable[Path]) -> Iterator[Finding]:
    """Folders that every user may enter. They hold the output of jobs, and db/tick.log."""
    for folder in folders:
        mode = _mode(folder)
        if mode is not None and mode & stat.S_IXOTH:
            text = f"Every user of this machine can read files in {folder}"
            yield warning("FOLDER_READABLE", SUBJECT, text, "Run: python3 main.py init-db, which closes it to others")


def foreign(home: Path, paths: Iterable[Path]) -> Iterator[Finding]:
    """What lies below these paths, at any depth, and does not belong to the owner of the folder `home`.

    Mostly root made it. No link is followed. Where `home` is root's, root may write everywhere.
    """
    try:
        owner = os.stat(home).st_uid
    except OSError:
        return
    if owner == 0:
        return
    few, name, looked_at = Few(), name_of(owner), 0
    pending = [str(path) for path in reversed(list(paths))]
    while pending and looked_at < _MOST_LOOKED_AT:
        path = pending.pop()
        looked_at += 1
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            # A folder that this user may not look into is named itself.
            with suppress(OSError):
                pending += sorted((entry.path for entry in os.scandir(path)), reverse=True)
        if status.st_uid != owner:
            text = f"{path} belongs to {name_of(status.st_uid)}, not to {name}: what {name} runs may fail there"
            fix = f"Run: sudo chown -R {quoted(name)}: {quoted(path)}"
            finding = error("FOREIGN_OWNER", SUBJECT, text, fix)
            if few.passes(finding):
                yield finding
    yield from few.remaining(SUBJECT)
    if pending:
        text = f"Below {home} only the owners of the first {looked_at} files and folders were looked at"
        yield warning("OWNERS_NOT_ALL_SEEN", SUBJECT, text, "Delete old output, see: python3 main.py prune")


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError:
        return None
