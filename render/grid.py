"""A table that knows which of its columns give way where there is little room, and which never do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

#: Blanks between two columns.
_GAP = 2
_INDENT = 4


@dataclass(frozen=True)
class Grid:
    """Rows under `columns`; `>` at the end of a name means: to the right.

    `gives` has the columns that give way, in their order, and the width that they keep; no other is ever made narrower.
    Where that is not enough, as many of the last `spare` columns as must stand below their row, the last of them first;
    or not at all where a row is one line (`folds` is False). Where even that is not enough, a table that folds is wider
    than its screen, and one of single lines is cut.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Text]]
    gives: Mapping[int, int] = field(default_factory=dict)
    spare: int = 0
    folds: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As wide as there is room."""
        wanted = self._wanted()
        for count in range(len(wanted), len(wanted) - self.spare - 1, -1):
            gives = {place: least for place, least in self.gives.items() if place < count}
            widths = fitted(wanted[:count], gives, options.max_width)
            if _total(widths) <= options.max_width:
                break
        if len(widths) == len(wanted) or not self.folds:
            yield self._table(self.rows, widths)
        else:
            yield from self._one_by_one(widths)

    def least(self) -> int:
        """The narrowest that it can be with all of its columns."""
        return _total(fitted(self._wanted(), self.gives, 0))

    def _wanted(self) -> list[int]:
        texts = [
            [name.rstrip(">"), *(_text(row[place]).plain for row in self.rows)]
            for place, name in enumerate(self.columns)
        ]
        return [max(map(cell_len, column)) for column in texts]

    def _one_by_one(self, widths: Sequence[int]) -> Iterator[RenderableType]:
        yield self._table([], widths)
        for row in self.rows:
            table = self._table([row], widths)
            table.show_header = False
            yield table
            for place in range(len(widths), len(row)):
                if text := _text(row[place]):
                    yield Padding(text, (0, 0, 0, _INDENT)) if place in self.gives else _whole(text)

    def _table(self, rows: Sequence[Sequence[str | Text]], widths: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", width=_total(widths) if self.folds else None)
        for name, width in zip(self.columns, widths, strict=False):
            table.add_column(
                name.rstrip(">"), justify="right" if name.endswith(">") else "left", width=width,
                no_wrap=not self.folds, overflow="fold" if self.folds else "ellipsis",
            )  # fmt: skip
        for row in rows:
            table.add_row(*map(_text, row[: len(widths)]))
        return table


def fitted(wanted: Sequence[int], gives: Mapping[int, int], room: int) -> list[int]:
    """The widths of columns in so much room: each of `gives` is cut to its least before the next one is."""
    widths = list(wanted)
    for place, least in gives.items():
        widths[place] -= max(0, min(_total(widths) - room, widths[place] - least))
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _whole(text: Text) -> Text:
    return Text(" " * _INDENT, no_wrap=True, overflow="ignore").append_text(text)


def _text(cell: str | Text) -> Text:
    # As it is: a bracket of a job's message is no markup of ours.
    return cell if isinstance(cell, Text) else Text(cell)
