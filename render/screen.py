"""What a screen can show: its width and height, colours, symbols. Needs no library, so that it works without any."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from render.whole import JOINT

#: The width in cells where stdout is not a terminal: wide, so that no line is cut.
WIDTH_ELSEWHERE = 200
_NARROWEST, _WIDEST = 20, 2_000
#: A terminal that does not tell its size.
_USUAL = os.terminal_size((80, 24))
#: One character for each symbol of the views, so that no column moves.
_ASCII = str.maketrans("…→█░▶·│▼—–’‘“”×•", "~>#.>.|v--''\"\"x*")


@dataclass(frozen=True)
class Screen:
    """`width` is in cells. `height` is in lines, None where there is no terminal. `encoding` is Python's name."""

    width: int
    height: int | None = None
    colour: bool = False
    encoding: str = "utf-8"

    @property
    def has_symbols(self) -> bool:
        """Whether it shows all of Unicode."""
        return self.encoding == "utf-8"

    def shown(self, text: str) -> str:
        """The text with signs that this screen has: symbols in ASCII, and `?` for other characters that it lacks."""
        text = text.replace(JOINT, " ")
        if self.has_symbols:
            return text
        return text.translate(_ASCII).encode(self.encoding, "replace").decode(self.encoding)


def screen_of(stream: TextIO | None, environ: Mapping[str, str]) -> Screen:
    """The screen behind a stream.

    COLUMNS outranks the terminal's width. NO_COLOR and TERM=dumb turn colours off, FORCE_COLOR turns them on elsewhere.
    Sources: https://no-color.org and https://force-color.org.
    """
    size = _size(stream)
    width = columns_setting(environ) or (WIDTH_ELSEWHERE if size is None else max(size.columns, _NARROWEST))
    height = None if size is None else size.lines
    return Screen(width, height, wants_colour(size is not None, environ), _encoding(stream, environ))


def wants_colour(is_terminal: bool, environ: Mapping[str, str]) -> bool:
    """Whether to print colours."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (is_terminal and not is_dumb(environ))


def is_dumb(environ: Mapping[str, str]) -> bool:
    """Whether the terminal has no control sequences."""
    return (environ.get("TERM") or "dumb") in ("dumb", "unknown")


def columns_setting(environ: Mapping[str, str]) -> int | None:
    """The width that COLUMNS asks for, in cells; None if it is unset or not a usable width."""
    text = environ.get("COLUMNS", "")
    # The check of the length comes first: Python parses very long numbers slowly.
    width = int(text) if text.isdecimal() and len(text) <= 5 else 0
    return width if _NARROWEST <= width <= _WIDEST else None


def _size(stream: TextIO | None) -> os.terminal_size | None:
    """The size of a terminal; None for what is none."""
    try:
        if stream is None or not stream.isatty():
            return None
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return _USUAL
    return os.terminal_size((size.columns or _USUAL.columns, size.lines or _USUAL.lines))


def _encoding(stream: TextIO | None, environ: Mapping[str, str]) -> str:
    """The characters that the reader of a stream knows: `utf-8`, or a smaller set.

    In the locale C Python writes UTF-8, whatever the terminal can show, so there the locale decides. Source: PEP 540.
    """
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    if locale in ("C", "POSIX"):
        return "ascii"
    # The name of a locale that is not installed still says what the terminal shows.
    codeset = locale.partition(".")[2].partition("@")[0]
    names = [getattr(stream, "encoding", None) or "utf-8", codeset or "utf-8"]
    return next((name for name in map(_codec, names) if name != "utf-8"), "utf-8")


def _codec(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "utf-8"
