"""Lines that fit: text is broken between words, never inside of what is copied. Imports no library."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_PROGRAM = r"(?:chmod|chown|rm|fuser|ls|mkdir|kill|crontab|systemctl|loginctl|sqlite3|npm|pip|git|ulimit|make)"
_VERB = r"(?:status|install|enable|disable|start|stop|restart|pull)\b\S?"
_QUOTED = r"'[^'\n]{1,300}'"
#: A word of a command: quoted, an option, or with a sign that no English word has.
_WORD = rf"(?:(?:--?[\w-]+=)?{_QUOTED}\S*|[^\s']*[-+/@:=_][^\s']*|\d+\S?)"
#: What a line is never broken in: a word, or words that are copied together. It may take a word too many, which costs
#: nothing but the end of a line.
_PIECE = re.compile(
    rf"""(?<!\s)\s*+(?:
      [^\s`]?`[^`\n]{{1,300}}`\S*                                     # `a command`
    | ["(]?{_QUOTED}(?!\w)\S*                                         # what is quoted for a shell
    | ["'(]?(?:cd\ (?:{_QUOTED}|\S+)\ &&\ )?python3\ main\.py\ [a-z-]+  # one of our commands, its argument
      (?:\ (?:{_QUOTED}|[^\s'-]\S*(?<![.,:;)])))?
      (?:\ (?:--?[a-z]\S*(?:\ (?:{_QUOTED}|[^\s'-]\S*))?|[A-Z_]{{2,}}))*\S*  # and its options
    | ["'(]?(?:sudo\ )?{_PROGRAM}(?:\ (?:{_VERB}|{_WORD}))+           # a command of the system
    | --[a-z][\w-]*(?:[=\ ](?:{_QUOTED}|[^\s'-]\S*|-\w\S*))?             # options with their values
      (?:\ --[a-z][\w-]*(?:[=\ ](?:{_QUOTED}|[^\s'-]\S*|-\w\S*))?)*\S*
    | \["[^\]\n]{{1,300}}"\]\S*                                        # a list in JSON
    | ["'(]?(?:[A-Z_]+=)?~?/\S*(?<![.,:;)])                           # a path with blanks in the names of folders
      (?:\ [^\s/]+(?<![.,:;)])){{0,2}}\ [^\s/]+/\S*
    | ["'(]?[\d*][\w*,/?\#-]*(?:\ [\d*?A-Z][\w*,/?\#-]*){{4,5}}\S*    # a schedule of five or six fields
    | \S+
    )""",
    re.VERBOSE,
)


def cells(text: str) -> int:
    """The width of a text on a terminal. Source: Unicode Standard Annex 11, East Asian Width."""
    if text.isascii():
        return len(text)
    return sum(_cells(sign) for sign in text)


def _cells(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def pieces(text: str) -> Iterator[re.Match[str]]:
    """The words of a text, each with the blanks before it; those that are copied together are one."""
    return _PIECE.finditer(text)


def wrapped(text: str, width: int, first: int | None = None) -> list[str]:
    """Lines of at most `width` cells, the first of at most `first`; a piece that is wider is a line of its own."""
    lines: list[str] = []
    room = width if first is None else first
    for word in (match[0].strip() for match in pieces(text)):
        if lines and cells(lines[-1]) + 1 + cells(word) <= (room if len(lines) == 1 else width):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
