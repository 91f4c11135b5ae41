"""Finds the events of an agent's answer in what its program printed, whatever stands around them.

An answer is one JSON object, a JSON list of objects (its events), or one object after another, mostly a line each.
Each may be spread over lines. It may begin anywhere, and anything may stand before, between and after: banners, notices
of updates, escape codes, other programs' JSON. What belongs to the answer, the agent says. See docs/agents.md "How an
answer is read".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from core import strict_json
from core.escape_codes import without_codes

#: The beginning of an object with its first key, perhaps as the first of a list. In a JSON string, every quote has a
#: backslash before it: so this finds nothing inside of one.
_BEGINNING = re.compile(r'(\[\s*+)?\{\s*+"[^"\\\n]{0,64}"\s*+:')
#: What an output ends with that was cut before the first key is complete.
_FRAGMENT = re.compile(r'(?:\A|\n)\s*\[?\s*\{\s*(?:"[^"\\\n]{0,64}"?)?\s*\Z')
#: What follows an event in a list: another one, or its end.
_NEXT = re.compile(r"\s*+(,\s*+(?=\{)|\])")
_NO_BYTES = re.compile("[\udc80-\udcff]")
#: What may stand before an event in its line.
_MARGIN = re.compile("(?:\\s|\ufeff|\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\))*+")
_LONGEST_MARGIN = 200
#: How often, on average, each character may be read in vain. Only what no agent prints needs more.
_VAIN_READINGS = 4
_LONGEST_NOISE = 300
_LONGEST_BROKEN = 4 * 1024 * 1024


@dataclass(frozen=True)
class Event:
    """One object of an answer.

    `fault` says why it is not a sound one, or is "": then `value` has what could be read of it. `is_cut`: it breaks
    off at the end of the output.
    """

    value: Mapping[str, object]
    fault: str = ""
    is_cut: bool = False


#: Takes an event, and returns whether it belongs to the answer.
Take = Callable[[Event], bool]


@dataclass
class Reading:
    """What was found besides the events.

    `noise`: the beginning of what stands around them, as plain text. `is_open`: a list of events is not closed.
    `fault`: what is wrong with the last thing that looked like JSON and was none; `is_cut`: it breaks off.
    """

    found: bool = False
    noise: str = ""
    is_open: bool = False
    fault: str = ""
    is_cut: bool = False


def read(data: bytes, take: Take, wanted: tuple[str, ...]) -> Reading:
    """Gives the events in `data` to `take`, in their order; what `take` refuses is noise.

    `wanted` are the keys that are read of an object that is broken or cut: what it cost, for example. The time is in
    proportion to the size of `data`.
    """
    return _Reader(data, take, wanted).read()


class _Reader:
    def __init__(self, data: bytes, take: Take, wanted: tuple[str, ...]) -> None:
        self._text = data.decode("utf-8", "surrogateescape")
        self._take = take
        self._wanted = re.compile(f'"({"|".join(map(re.escape, wanted))})"\\s*+:\\s*+')
        self._reading = Reading()
        self._finder = strict_json.Finder()
        #: Up to where the text is read, and up to where it was decided what is noise.
        self._position = self._noted = 0
        #: Up to where a broken object was read: what begins inside of it is a part of it, unless it begins a line.
        self._broken_until = 0
        self._vain = 0

    def read(self) -> Reading:
        text, reading, most = self._text, self._reading, _VAIN_READINGS * len(self._text) + 100_000
        while self._vain <= most and (match := _BEGINNING.search(text, self._position)):
            start = match.start()
            if start < self._broken_until and not self._begins_line(start):
                self._position = start + 1
            else:
                self._events(start, match[1])
        if reading.found:
            self._note(len(text), len(text))
        elif not reading.is_cut and _FRAGMENT.search(text[-_LONGEST_MARGIN:]):
            reading.fault, reading.is_cut = "it breaks off", True
        return reading

    def _begins_line(self, start: int) -> bool:
        before = self._text[max(0, start - _LONGEST_MARGIN) : start]
        return _MARGIN.fullmatch(before.rpartition("\n")[2]) is not None

    def _events(self, start: int, bracket: str | None) -> None:
        """One object; or those of a list one by one, so that the events of a list that breaks off count too."""
        position, is_own, is_closed, more = start + len(bracket or ""), False, bracket is None, True
        while more:
            position, is_event, is_whole = self._event(position)
            is_own |= is_event
            following = _NEXT.match(self._text, position) if bracket and is_whole else None
            more = following is not None and following[1] != "]"
            if following is not None:
                position, is_closed = following.end(), not more
        if is_own:
            self._note(start, position if is_whole else self._broken_until)
            self._reading.found, self._reading.is_open = True, not is_closed
        self._position = max(position, start + 1)

    def _event(self, start: int) -> tuple[int, bool, bool]:
        """Reads and offers an object. Returns where to read on, whether the answer has it, and whether it is whole."""
        try:
            value, end, fault = self._finder.find(self._text, start)
        except strict_json.BadJson as bad:
            self._broken_until = max(self._broken_until, bad.position)
            self._reading.fault, self._reading.is_cut = str(bad), bad.kind == "cut"
            parts = self._parts(start, bad.position)
            return start + 1, bool(parts) and self._take(Event(parts, str(bad), bad.kind == "cut")), False
        if _NO_BYTES.search(self._text, start, end):
            fault = fault or "not UTF-8"
        # Only escapes and the bytes that are not UTF-8 make characters that can't be stored.
        if fault or self._text.find("\\u", start, end) >= 0:
            value = strict_json.storable(value)
        return end, isinstance(value, dict) and self._take(Event(value, fault)), True

    def _parts(self, start: int, broken_at: int) -> dict[str, object]:
        """The wanted members of a broken object: those that can be read up to where another one may begin."""
        text, parts, finder = self._text, dict[str, object](), strict_json.Finder()
        end = text.find("\n{", broken_at, start + _LONGEST_BROKEN)
        end = end if end >= 0 else min(len(text), start + _LONGEST_BROKEN)
        self._vain += max(broken_at, end) - start + 500
        position = start
        while match := self._wanted.search(text, position, end):
            position = match.end()
            with suppress(strict_json.BadJson):
                value, position, fault = finder.find(text, position)
                # A number at the very end may have lost digits.
                if not fault and (position < len(text) or isinstance(value, dict | str)):
                    parts.setdefault(match[1], strict_json.storable(value))
        return parts

    def _note(self, until: int, end: int) -> None:
        """Notes what stands between the last event and this one."""
        between = self._text[self._noted : until].strip("\ufeff \t\r\n")
        self._noted = end
        if between and len(self._reading.noise) < _LONGEST_NOISE:
            words = without_codes(between[: 2 * _LONGEST_NOISE]).strip() or "escape codes"
            words = strict_json.plain_text(words)
            self._reading.noise = " … ".join(filter(None, (self._reading.noise, words)))[:_LONGEST_NOISE]
