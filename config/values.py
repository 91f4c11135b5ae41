"""Parses the text of a setting into its value."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from config.problems import InvalidValue
from config.variables import Kind, Variable
from core.kinds import AGENTS
from core.log import LEVELS

#: What commands may print; `auto` is text on a terminal and JSON elsewhere.
FORMATS = ("auto", "json", "text")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _plain(variable: Variable, text: str) -> str:
    if match := _UNPRINTABLE.search(text):
        kind = "a control character" if match[0] <= "\x7f" else "a byte that is not UTF-8"
        raise InvalidValue("BAD_TEXT", f"contains {kind}", f"{variable.name} must be {variable.allowed}")
    return text


def _path(variable: Variable, text: str, root: Path, environ: Mapping[str, str]) -> Path:
    _plain(variable, text)
    if text == "~" or text.startswith("~/"):
        text = (environ.get("HOME") or os.path.expanduser("~")) + text[1:]
    text = os.path.expanduser(text)
    if text.startswith("~"):
        raise InvalidValue("BAD_PATH", "starts with ~ and the name of an unknown user", "write the path without ~")
    return Path(os.path.realpath(root / text))


def _inside(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> str:
    clean = os.path.normpath(_plain(variable, text))
    if text.startswith(("/", "~")) or clean == ".." or clean.startswith("../"):
        raise InvalidValue("BAD_PATH", "is outside the folder PURUTO_TELEGRAM_PATH", f"it must be {variable.allowed}")
    if clean == "." or text.endswith(("/", "/.", "/..")):
        raise InvalidValue("BAD_PATH", "is a folder, not a file", f"like {variable.default}")
    return clean


def _integer(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> int:
    return integer(variable, text)


def integer(variable: Variable, text: str) -> int:
    """A whole number within the variable's bounds. Raises `InvalidValue`."""
    is_number = re.fullmatch(r"[+-]?[0-9]{1,18}", text) is not None
    if not is_number or not variable.low <= int(text) <= variable.high:
        code = "OUT_OF_RANGE" if is_number else "NOT_A_NUMBER"
        raise InvalidValue(code, f"must be {variable.allowed}", f"the default is {variable.default}")
    return int(text)


def _switch(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> bool:
    if text.lower() not in _SWITCH:
        raise InvalidValue("NOT_A_SWITCH", f"must be {variable.allowed}", f"the default is {variable.default}")
    return _SWITCH[text.lower()]


def _text(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> str | None:
    return _plain(variable, text) or None


def _url(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> str | None:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(_plain(variable, text))
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if text and (not is_valid or " " in text):
        raise InvalidValue("BAD_URL", f"must be {variable.allowed}", "like https://hc-ping.com/your-uuid")
    return text or None


def _names(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in _plain(variable, text).split(",") if name.strip())
    for name in names:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise InvalidValue("BAD_NAME", f"must be {variable.allowed}", "like ANTHROPIC_AUTH,BANK_LOGIN")
    return names


def _agents(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in _plain(variable, text).split(",") if name.strip()))
    if not names or not set(names) <= set(AGENTS):
        raise InvalidValue("UNKNOWN_AGENT", f"must be {variable.allowed}", f"the default is {variable.default}")
    return names


def _format(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> str:
    if text not in FORMATS:
        raise InvalidValue("UNKNOWN_FORMAT", f"must be {variable.allowed}", f"the default is {variable.default}")
    return text


def _level(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> str:
    if text not in ("", *LEVELS):
        raise InvalidValue("UNKNOWN_LEVEL", f"must be {variable.allowed}", "unset it for the default of each command")
    return text


def _folders(variable: Variable, text: str, _root: Path, _environ: Mapping[str, str]) -> tuple[str, ...]:
    folders = tuple(os.path.expanduser(part) for part in _plain(variable, text).split(":") if part)
    if not all(map(os.path.isabs, folders)):
        raise InvalidValue("BAD_PATH", f"must be {variable.allowed}", "like /opt/agents/bin:~/.local/bin")
    return folders


PARSERS: dict[Kind, Callable[[Variable, str, Path, Mapping[str, str]], object]] = {
    "path": _path, "inside": _inside, "integer": _integer, "switch": _switch, "text": _text,
    "url": _url, "names": _names, "agents": _agents, "folders": _folders, "format": _format,
    "level": _level,
}  # fmt: skip
