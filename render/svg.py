"""`timeline` as an SVG: one self-contained file for light and dark mode; a tooltip explains each mark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from rich.cells import cell_len, chop_cells

from core.clock import from_text
from render.axis import Axis
from render.marks import KINDS, Mark, marks_of, merged
from render.timeline import notes
from render.words import duration, local, plain

Report = Mapping[str, Any]
_WIDTH, _MARGIN, _ROW, _BAR = 1200, 20, 32, 14
#: Within a row, from its top: the middle of its bars, and the baselines of its name, of letters in and above a bar.
_MIDDLE, _NAME_FOOT, _LETTER_FOOT, _ABOVE_FOOT = 20.0, 24.5, 24.0, 10.0
_TOP, _CELL, _FONT = 92, 7.3, 13
_LONGEST_NAME = 32
_NEAREST_PX, _NARROWEST_PX, _LETTER_PX = 1.5, 3.0, 11.0
#: What XML 1.0 can't hold, not even as a reference.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HOLLOW = frozenset({"missed", "skipped", "overdue"})
_PLAIN = frozenset({"ok", "upcoming", "unknown"})
#: Kinds without a letter. A running one needs none: its bar touches the line of now.
_QUIET = _PLAIN | {"running"}

_PAPER = {
    "bg": ("fill", "#ffffff", "#0d1117"),
    "band": ("fill", "#f6f8fa", "#161b22"),
    "line": ("stroke", "#d8dee4", "#30363d"),
    "day": ("stroke", "#afb8c1", "#484f58"),
    "text": ("fill", "#1f2328", "#e6edf3"),
    "soft": ("fill", "#59636e", "#9198a1"),
    "now": ("stroke", "#0969da", "#58a6ff"),
    "nowtext": ("fill", "#0969da", "#58a6ff"),
    "warn": ("fill", "#9a6700", "#d29922"),
    "onbar": ("fill", "#ffffff", "#0d1117"),
}


def picture(report: Report) -> str:
    """The report of `timeline` as an SVG document, without a final newline."""
    return _Drawing(report).text()


def clean(text: object, most: int = 200) -> str:
    """One line of text that XML 1.0 can hold, at most `most` characters."""
    return _NO_XML.sub("\ufffd", plain(text, most))


class _Drawing:
    """One picture: the axis at the top, one row per job, then the legend and the notes."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._axis = Axis(from_text(report["from"]), from_text(report["to"]), report["timezone"])
        self._now = from_text(report["now"])
        names = [clean(job["job_id"]) for job in report["jobs"]]
        longest = min(max([cell_len(name) for name in names], default=3), _LONGEST_NAME)
        self._left = _MARGIN + longest * _CELL + 16
        self._chart = _WIDTH - _MARGIN - self._left
        self._notes = [clean(note, 160) for note in notes(report, self._axis)]
        self._bottom = _TOP + max(1, len(names)) * _ROW
        self._height = self._bottom + 60 + 20 * len(self._notes) + (8 if self._notes else 0)
        self._root = ET.Element(
            "svg", xmlns="http://www.w3.org/2000/svg", width=str(_WIDTH), height=str(self._height),
            viewBox=f"0 0 {_WIDTH} {self._height}", role="img",
        )  # fmt: skip

    def text(self) -> str:
        """The whole document."""
        ET.SubElement(self._root, "title").text = "puruto-cron: what ran and what will run"
        ET.SubElement(self._root, "style").text = _style()
        self._rect(0, 0, _WIDTH, self._height, "bg")
        self._head()
        self._grid()
        for number, job in enumerate(self._report["jobs"]):
            self._job(job, _TOP + number * _ROW)
        if not self._report["jobs"]:
            self._text(self._left, _TOP + 18, "No jobs.", "soft")
        self._now_line()
        self._legend(self._bottom + 34)
        for number, note in enumerate(self._notes):
            self._text(_MARGIN, self._bottom + 74 + 20 * number, note, "warn")
        return ET.tostring(self._root, encoding="unicode")

    # --- the axis ---

    def _x(self, position: float) -> float:
        return self._left + position * self._chart

    def _head(self) -> None:
        zone = self._axis.zone
        self._text(_MARGIN, 28, "What ran and what will run", "text head")
        span = f"{local(self._report['from'], zone)} – {local(self._report['to'], zone)}, {clean(zone)}"
        self._text(_WIDTH - _MARGIN, 28, span, "soft", anchor="end")

    def _grid(self) -> None:
        axis, height = self._axis, self._bottom - _TOP
        for number in range(0, len(self._report["jobs"]), 2):
            self._rect(_MARGIN, _TOP + number * _ROW, _WIDTH - 2 * _MARGIN, _ROW, "band")
        days = axis.days(int(self._chart / 90))
        for tick in axis.hours(int(self._chart / 52)):
            x = self._x(axis.position(tick.at))
            self._line(x, _TOP - 4, x, _TOP + height, "line")
            self._text(x, _TOP - 10, tick.text, "soft small", anchor="middle")
        first = axis.first_day()
        if not days or self._x(axis.position(days[0].at)) > self._left + 80:
            self._text(self._left + 5, _TOP - 28, first.text, "text small bold")
        for tick in days:
            x = self._x(axis.position(tick.at))
            self._line(x, _TOP - 38, x, _TOP + height, "day")
            if x + 80 < _WIDTH - _MARGIN:
                self._text(x + 5, _TOP - 28, tick.text, "text small bold")
        for tick in axis.clock_changes():
            x = self._x(axis.position(tick.at))
            line = self._line(x, _TOP - 4, x, _TOP + height, "day dashed")
            ET.SubElement(line, "title").text = f"Clock change: {tick.text}"
        self._line(_MARGIN, _TOP, _WIDTH - _MARGIN, _TOP, "day")
        self._line(_MARGIN, self._bottom, _WIDTH - _MARGIN, self._bottom, "day")

    def _now_line(self) -> None:
        x = self._x(self._axis.position(self._now))
        self._line(x, _TOP - 2, x, self._bottom, "now")
        label = local(self._report["now"], self._axis.zone).split()[2][:5]
        self._rect(x - 42, self._bottom + 1, 84, 16, "bg")
        self._text(x, self._bottom + 13, f"now {label}", "nowtext small bold", anchor="middle")

    # --- the rows ---

    def _job(self, job: Report, top: float) -> None:
        name = clean(job["job_id"])
        cut = name if cell_len(name) <= _LONGEST_NAME else f"{chop_cells(name, _LONGEST_NAME - 1)[0]}…"
        row = ET.SubElement(self._root, "g", {"class": "job"})
        label = self._text(_MARGIN, top + _NAME_FOOT, cut, "text" if job["state"] == "enabled" else "soft", parent=row)
        ET.SubElement(label, "title").text = f"{name} ({job['state']})"
        marks = merged(marks_of(job, self._axis, self._now), _NEAREST_PX / self._chart, self._axis)
        free_from = self._left
        # The worst is drawn last, on top of the others.
        order = list(KINDS)
        for mark in sorted(marks, key=lambda mark: (-order.index(mark.kind), mark.start)):
            self._mark(row, mark, top)
        for mark in (mark for mark in marks if mark.kind not in _QUIET):
            free_from = self._letter(row, mark, top, free_from)

    def _edges(self, mark: Mark) -> tuple[float, float]:
        x, end = self._x(self._axis.position(mark.start)), self._x(self._axis.position(mark.end))
        narrowest = _LETTER_PX if mark.kind in _HOLLOW else _NARROWEST_PX
        if mark.kind == "upcoming":
            narrowest = 2.0
        if end - x >= narrowest:
            return x, end
        # A slot is an instant, so its sign is centred on it. A run's bar begins where the run began.
        x = x - narrowest / 2 if mark.kind in (*_HOLLOW, "upcoming") else x
        x = min(max(x, self._left), _WIDTH - _MARGIN - narrowest)
        return x, x + narrowest

    def _mark(self, row: ET.Element, mark: Mark, top: float) -> None:
        x, end = self._edges(mark)
        high = 8 if mark.kind == "upcoming" else _BAR
        y = top + _MIDDLE - high / 2
        kind = f"k-{mark.kind} hollow" if mark.kind in _HOLLOW else f"k-{mark.kind}"
        if mark.kind == "upcoming" and mark.count > 1:
            kind += " dense"
        radius = "2" if high == _BAR and end - x > 4 else "1"
        rect = self._rect(x, y, end - x, high, kind, parent=row, rx=radius)
        ET.SubElement(rect, "title").text = _tooltip(mark, self._axis.zone)

    def _letter(self, row: ET.Element, mark: Mark, top: float, free_from: float) -> float:
        """Writes the mark's letter into it, or above it if it is too narrow, unless the previous letter is too close.

        Returns the x from which the next letter has room.
        """
        x, end = self._edges(mark)
        middle = (x + end) / 2
        if middle - 4 < free_from:
            return free_from
        letter = KINDS[mark.kind].letter
        if end - x >= _LETTER_PX:
            colour = f"t-{mark.kind}" if mark.kind in _HOLLOW else "onbar"
            self._text(middle, top + _LETTER_FOOT, letter, f"{colour} letter", anchor="middle", parent=row)
        else:
            self._text(middle, top + _ABOVE_FOOT, letter, f"t-{mark.kind} tiny", anchor="middle", parent=row)
        return middle + 5

    def _legend(self, y: float) -> None:
        x = float(_MARGIN)
        seen = {mark.kind for job in self._report["jobs"] for mark in marks_of(job, self._axis, self._now)}
        for name in ("ok", "running", "error", "interrupted", "cancelled", "missed", "skipped", "overdue", "upcoming"):
            if name not in seen | {"ok", "error", "upcoming"}:
                continue
            kind = f"k-{name} hollow" if name in _HOLLOW else f"k-{name}"
            wide, high = (2, 8) if name == "upcoming" else (16, _BAR)
            self._rect(x + (16 - wide) / 2, y + (_BAR - high) / 2 - 1, wide, high, kind, rx="2")
            if name not in _PLAIN:
                colour = f"t-{name}" if name in _HOLLOW else "onbar"
                self._text(x + 8, y + 10, KINDS[name].letter, f"{colour} letter", anchor="middle")
            label = KINDS[name].label
            self._text(x + 22, y + 10.5, label, "soft small")
            x += 22 + len(label) * 6.6 + 22

    # --- SVG elements ---

    def _rect(
        self, x: float, y: float, width: float, height: float, kind: str, *, parent: ET.Element | None = None,
        rx: str = "",
    ) -> ET.Element:  # fmt: skip
        where = {"x": _px(x), "y": _px(y), "width": _px(max(0, width)), "height": _px(height), "class": kind}
        rounded = {"rx": rx} if rx else {}
        return ET.SubElement(self._root if parent is None else parent, "rect", where | rounded)

    def _line(self, x: float, y: float, to_x: float, to_y: float, kind: str) -> ET.Element:
        where = {"x1": _px(x), "y1": _px(y), "x2": _px(to_x), "y2": _px(to_y), "class": kind}
        return ET.SubElement(self._root, "line", where)

    def _text(
        self, x: float, y: float, text: str, kind: str, *, anchor: str = "start", parent: ET.Element | None = None
    ) -> ET.Element:
        where = {"x": _px(x), "y": _px(y), "class": kind} | ({"text-anchor": anchor} if anchor != "start" else {})
        element = ET.SubElement(self._root if parent is None else parent, "text", where)
        element.text = text
        return element


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _tooltip(mark: Mark, zone: str) -> str:
    """The text of a tooltip: what, how many, from when to when."""
    label = KINDS[mark.kind].label
    what = label if mark.count == 1 else f"{mark.count:,} × {label}"
    start, end = local(mark.start.isoformat(), zone), local(mark.end.isoformat(), zone)
    took = duration((mark.end - mark.start).total_seconds() * 1000)
    when = start if mark.start == mark.end else f"{start} – {end} ({took})"
    return f"{what}\n{when}" + (f"\n{clean(mark.note)}" if mark.note else "")


def _style() -> str:
    """The style sheet: colours for light mode, then for dark mode."""
    common = [
        f"text{{font:{_FONT}px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}}",
        ".head{font-size:17px;font-weight:600}.small{font-size:12px}.bold{font-weight:600}",
        ".letter{font-size:11px;font-weight:700}.tiny{font-size:9.5px;font-weight:700}",
        ".hollow{fill-opacity:.12;stroke-width:1.2;stroke-dasharray:3 2}.dashed{stroke-dasharray:4 3}",
        ".now{stroke-width:1.5}.dense{fill-opacity:.4}.k-unknown{fill-opacity:.35}",
    ]
    light, dark = (_colours(mode) for mode in (0, 1))
    return "\n".join([*common, *light, "@media (prefers-color-scheme:dark){", *dark, "}"])


def _colours(mode: int) -> Sequence[str]:
    """The rules for light (0) or dark (1) mode."""
    rules = [f".{name}{{{attribute}:{colours[mode]}}}" for name, (attribute, *colours) in _PAPER.items()]
    for name, kind in KINDS.items():
        colour = (kind.light, kind.dark)[mode]
        border = f";stroke:{colour}" if name in _HOLLOW else ""
        rules.append(f".k-{name}{{fill:{colour}{border}}}.t-{name}{{fill:{colour}}}")
    return rules
