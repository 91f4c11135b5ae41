"""What puruto-data tells a person, in Spanish ("es") and English ("en")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_WORDS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "saved": "Copia hecha y comprobada: {archive} ({size}), {files}.",
        "incomplete": "Copia incompleta: {archive} ({size}), {files}; falta lo que no se pudo leer.",
        "first": "Es la primera copia.",
        "since": "Archivos desde la anterior: nuevos {added}, cambiados {changed}, borrados {removed}.",
        "same": "Nada ha cambiado desde la anterior.",
        "kept": "Copias guardadas: {kept} (máximo {keep}); {removed}.",
        "removed_none": "no se ha borrado ninguna antigua",
        "removed_one": "se ha borrado 1 antigua",
        "removed_many": "se han borrado {count} antiguas",
        "files_one": "1 archivo",
        "files_many": "{count} archivos",
        "warning": "Aviso: {text}.",
        "changed": "cambiaron mientras se leían: {names}",
        "vanished": "desaparecieron mientras se leían: {names}",
        "unreadable": "no se pudieron leer: {names}",
        "special": "no son archivos y no se copian: {names}",
        "registry_link": "registry.json es un enlace: se guarda el enlace, no su contenido",
        "registry": "registry.json no es válido: {names}",
        "previous": "la copia anterior {names} está dañada",
        "not_removed": "no se pudieron borrar: {names}",
        "cut": "se muestran los primeros {shown} archivos de {total}",
        "read": "Registro: {purutos}. En shared/: {files}, {size}.",
        "purutos_none": "ningún Puruto",
        "purutos_one": "1 Puruto ({names})",
        "purutos_many": "{count} Purutos ({names})",
        "more": "{names} y {count} más",
    },
    "en": {
        "saved": "Backup made and verified: {archive} ({size}), {files}.",
        "incomplete": "Backup incomplete: {archive} ({size}), {files}; what could not be read is missing.",
        "first": "It is the first one.",
        "since": "Files since the one before: {added} new, {changed} changed, {removed} deleted.",
        "same": "Nothing has changed since the one before.",
        "kept": "Backups kept: {kept} (at most {keep}); {removed}.",
        "removed_none": "no old one was deleted",
        "removed_one": "1 old one was deleted",
        "removed_many": "{count} old ones were deleted",
        "files_one": "1 file",
        "files_many": "{count} files",
        "warning": "Warning: {text}.",
        "changed": "changed while being read: {names}",
        "vanished": "vanished while being read: {names}",
        "unreadable": "could not be read: {names}",
        "special": "not files, and not saved: {names}",
        "registry_link": "registry.json is a link: the link was saved, not what it leads to",
        "registry": "registry.json is not valid: {names}",
        "previous": "the backup before this one, {names}, is damaged",
        "not_removed": "could not be deleted: {names}",
        "cut": "only the first {shown} of {total} files are listed",
        "read": "Registry: {purutos}. In shared/: {files}, {size}.",
        "purutos_none": "no Puruto",
        "purutos_one": "1 Puruto ({names})",
        "purutos_many": "{count} Purutos ({names})",
        "more": "{names} and {count} more",
    },
}
SHOWN_NAMES = 5


def say(language: str, key: str, **values: object) -> str:
    """The sentence `key` with its values filled in."""
    return _WORDS[language][key].format(**values)


def counted(language: str, key: str, count: int, **values: object) -> str:
    """ "1 file", "3 files": the form of `key` for this number."""
    form = "none" if count == 0 and f"{key}_none" in _WORDS[language] else "one" if count == 1 else "many"
    return say(language, f"{key}_{form}", count=count, **values)


def named(language: str, names: Sequence[str]) -> str:
    """At most SHOWN_NAMES names, and how many more there are."""
    text = ", ".join(names[:SHOWN_NAMES])
    rest = len(names) - SHOWN_NAMES
    return say(language, "more", names=text, count=rest) if rest > 0 else text


def size_text(language: str, size: int) -> str:
    """Bytes for people: "812 bytes", "12.3 kB", "1.2 MB" (decimal units; a comma in Spanish)."""
    if size < 1000:
        return f"{size} byte" if size == 1 else f"{size} bytes"
    value, unit = size / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    text = f"{value:.1f} {unit}"
    return text.replace(".", ",") if language == "es" else text


def sentences(language: str, parts: Sequence[str], warnings: Sequence[str]) -> str:
    """One paragraph: what happened, then every warning."""
    return " ".join([*parts, *(say(language, "warning", text=text) for text in warnings)])
