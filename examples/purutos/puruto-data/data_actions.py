"""The actions of puruto-data, from a request to the result that a caller gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from data_archive import MANIFEST, REGISTRY, shown
from data_backup import Backup, back_up
from data_protocol import Refused, Request, language_of
from data_registry import RegistryInvalid, list_shared, read_registry
from data_words import counted, named, say, sentences, size_text

ACTIONS = ("run", "backup", "read")
KEEP_VARIABLE = "PURUTO_DATA_KEEP"
DEFAULT_KEEP = 7
MAX_KEEP = 1000
#: A list of names in a result is cut here, so that an event stays a line that people and channels can take.
MAX_NAMES = 50


def handle(
    request: Request, folder: Path, environment: Mapping[str, str], clock: Callable[[], datetime]
) -> dict[str, object]:
    """The `result` for a request about the Puruto in `folder`; raises Refused."""
    if request.action in ("run", "backup"):
        return backup(request, folder, environment, clock)
    if request.action == "read":
        return read(request, folder)
    message = f"action {request.action[:100]!r} is not known; known are {', '.join(ACTIONS)}"
    raise Refused("UNKNOWN_ACTION", message, {"known": list(ACTIONS)})


def backup(
    request: Request, folder: Path, environment: Mapping[str, str], clock: Callable[[], datetime]
) -> dict[str, object]:
    """Make a backup. Raises Refused; BACKUP_INCOMPLETE has the same facts as a result, in its details."""
    keep = keep_of(request.payload, environment)
    language = language_of(request.prompt)
    warnings = _registry_warnings(language, folder)
    made = back_up(folder, keep, clock)
    warnings += _backup_warnings(language, made)
    summary = sentences(language, _told(language, made, keep), warnings)
    result = {"summary": summary, "language": language, **_facts(made, keep), "warnings": warnings}
    if not made.complete:
        raise Refused("BACKUP_INCOMPLETE", summary, result)
    return result


def read(request: Request, folder: Path) -> dict[str, object]:
    """The registry and the files of shared/. Raises Refused REGISTRY_INVALID."""
    try:
        registry = read_registry(folder)
    except RegistryInvalid as fault:
        message = f"{folder / REGISTRY}: {fault.problems[0]}"
        raise Refused("REGISTRY_INVALID", message, {"problems": fault.problems[:MAX_NAMES]}) from None
    language = language_of(request.prompt)
    shared = list_shared(folder)
    facts = {
        "purutos": counted(language, "purutos", len(registry.names), names=named(language, registry.names)),
        "files": counted(language, "files", shared.total),
        "size": size_text(language, shared.size),
    }
    warnings = []
    if shared.unreadable:
        warnings.append(say(language, "unreadable", names=named(language, shared.unreadable)))
    if shared.total > len(shared.files):
        warnings.append(say(language, "cut", shown=len(shared.files), total=shared.total))
    return {
        "summary": sentences(language, [say(language, "read", **facts)], warnings),
        "language": language,
        "registry": registry.document,
        "files": shared.files,
        "files_total": shared.total,
        "bytes_total": shared.size,
        "warnings": warnings,
    }


def keep_of(payload: Mapping[str, object], environment: Mapping[str, str]) -> int:
    """How many archives to keep: `payload.keep`, else PURUTO_DATA_KEEP, else 7. Raises Refused for a wrong number."""
    if payload.get("keep") is not None:
        keep = payload["keep"]
        if isinstance(keep, bool) or not isinstance(keep, int) or not 1 <= keep <= MAX_KEEP:
            raise Refused("INVALID_REQUEST", f"payload.keep must be a whole number from 1 to {MAX_KEEP}")
        return keep
    text = environment.get(KEEP_VARIABLE, "").strip()
    if not text:
        return DEFAULT_KEEP
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_KEEP)) and 1 <= int(text) <= MAX_KEEP):
        raise Refused("SETTINGS_INVALID", f"{KEEP_VARIABLE} must be a whole number from 1 to {MAX_KEEP}")
    return int(text)


def _facts(made: Backup, keep: int) -> dict[str, object]:
    written = made.written
    notes = {key: [shown(name) for name in names[:MAX_NAMES]] for key, names in asdict(written.notes).items()}
    return {
        "archive": made.path.name,
        "path": str(made.path),
        "bytes": written.size,
        "sha256": written.sha256,
        "files": written.count("file"),
        "folders": written.count("folder"),
        "links": written.count("link"),
        "content_bytes": sum(entry.size for entry in written.entries if entry.name != MANIFEST),
        "since_previous": asdict(made.before) if made.before else None,
        "keep": keep,
        "kept": made.kept,
        "removed": list(made.removed),
        **notes,
    }


def _told(language: str, made: Backup, keep: int) -> list[str]:
    facts = {
        "archive": made.path.name,
        "size": size_text(language, made.written.size),
        "files": counted(language, "files", made.written.count("file")),
    }
    told = [say(language, "saved" if made.complete else "incomplete", **facts)]
    before = made.before
    if before is None:
        told += [] if made.damaged else [say(language, "first")]
    elif before.added or before.changed or before.removed:
        told.append(say(language, "since", added=before.added, changed=before.changed, removed=before.removed))
    else:
        told.append(say(language, "same"))
    removed = counted(language, "removed", len(made.removed))
    return [*told, say(language, "kept", kept=made.kept, keep=keep, removed=removed)]


def _registry_warnings(language: str, folder: Path) -> list[str]:
    if (folder / REGISTRY).is_symlink():
        return [say(language, "registry_link")]
    try:
        read_registry(folder)
    except RegistryInvalid as fault:
        return [say(language, "registry", names=named(language, fault.problems))]
    return []


def _backup_warnings(language: str, made: Backup) -> list[str]:
    notes = made.written.notes
    lists = {
        "unreadable": notes.unreadable,
        "changed": notes.changed,
        "vanished": notes.vanished,
        "special": notes.special,
        "previous": [made.damaged] if made.damaged else [],
        "not_removed": list(made.not_removed),
    }
    return [
        say(language, key, names=named(language, [shown(name) for name in names]))
        for key, names in lists.items()
        if names
    ]
