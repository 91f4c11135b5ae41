"""The console on which views are drawn, and what views share: colours of statuses, who looks, when and on what."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO, cast

from rich.console import Console, RenderableType
from rich.text import Text

from render.screen import Screen, screen_of
from render.words import plain

STYLES = {
    "ok": "green",
    "error": "bold red",
    "interrupted": "magenta",
    "cancelled": "yellow",
    "skipped": "yellow",
    "missed": "yellow",
    "running": "cyan",
}
Report = Mapping[str, Any]


@dataclass(frozen=True)
class ViewContext:
    """What a view needs besides its report: the current instant (UTC), the IANA zone of its times, and the screen.

    `places` are folders and files whose paths stay whole wherever they are named.
    """

    now: datetime
    zone: str
    screen: Screen = field(default_factory=lambda: Screen(100))
    places: tuple[str, ...] = ()


View = Callable[[Report, ViewContext], RenderableType | str]


def drawn(view: RenderableType, screen: Screen, *, crop: bool = False) -> str:
    """What rich draws, as text for that screen, without spaces at the ends of lines.

    A line with a run's ID or a path may be wider than the screen and is not cut: the terminal wraps it, and it can
    still be copied whole. With `crop` every line is cut.
    """
    out = _console(io.StringIO(), screen, os.environ)
    with out.capture() as captured:
        out.print(view, crop=crop, overflow="ignore")
    text = screen.shown(captured.get())
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n")


def live_console() -> Console:
    """A console that writes to stdout at once, for a view that is redrawn."""
    screen = screen_of(sys.stdout, os.environ)
    return _console(cast(TextIO, _Shown(sys.stdout, screen)), screen, os.environ, sized=False)


def _console(file: TextIO, screen: Screen, environ: Mapping[str, str], *, sized: bool = True) -> Console:
    # rich would accept any value of COLUMNS, and would see a terminal in FORCE_COLOR.
    ours = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    return Console(
        file=file,
        highlight=False,
        width=screen.width if sized or environ.get("COLUMNS") else None,
        height=screen.height if sized else None,
        force_terminal=screen.colour if sized else None,
        no_color=not screen.colour,
        soft_wrap=False,
        legacy_windows=False,
        _environ={name: value for name, value in environ.items() if name not in ours},
    )


class _Shown:
    """A stream that is written with the signs of its screen."""

    def __init__(self, stream: TextIO, screen: Screen) -> None:
        self._stream = stream
        self._screen = screen

    def write(self, text: str) -> int:
        """Writes the text as the screen shows it."""
        self._stream.write(self._screen.shown(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def status_text(status: object) -> Text:
    """A status in the colour that it has in all views."""
    return Text(plain(status), STYLES.get(str(status), ""))
