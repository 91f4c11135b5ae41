"""A table that fits a narrow screen: it says which of its columns may be narrowed, and which never are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from render.hanging import Hanging

#: Spaces between two columns.
_GAP = 2
_INDENT = 4


@dataclass(frozen=True)
class Grid:
    """Rows under `columns`. A column whose name ends in `>` is aligned to the right.

    `minimums` maps the index of each column that may be narrowed to its smallest width in cells. They are narrowed in
    the order of the mapping; the other columns never are. A word that is wider than its column ends in an ellipsis. If
    that is not enough, the last columns (at most `movable`) are printed below their row, the last one first. With
    `wraps` False each row stays one line: columns that do not fit are left out. What still does not fit makes a
    wrapping table wider than the screen; a one-line table is cut.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Text]]
    minimums: Mapping[int, int] = field(default_factory=dict)
    movable: int = 0
    wraps: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the table, at most as wide as the screen where that is possible."""
        natural = self._natural_widths()
        for count in range(len(natural), len(natural) - self.movable - 1, -1):
            minimums = {index: minimum for index, minimum in self.minimums.items() if index < count}
            widths = fit_widths(natural[:count], minimums, options.max_width)
            if _total(widths) <= options.max_width:
                break
        if len(widths) == len(natural) or not self.wraps:
            yield self._table(self.rows, widths)
        else:
            yield from self._with_cells_below(widths)

    def minimum_width(self) -> int:
        """The smallest width, in cells, that shows all columns."""
        return _total(fit_widths(self._natural_widths(), self.minimums, 0))

    def _natural_widths(self) -> list[int]:
        texts = [
            [name.rstrip(">"), *(_text(row[index]).plain for row in self.rows)]
            for index, name in enumerate(self.columns)
        ]
        return [max(map(cell_len, column)) for column in texts]

    def _with_cells_below(self, widths: Sequence[int]) -> Iterator[RenderableType]:
        yield self._table([], widths)
        for row in self.rows:
            table = self._table([row], widths)
            table.show_header = False
            yield table
            below = [_text(cell) for cell in row[len(widths) :] if _text(cell)]
            if below:
                yield Hanging(Text(" " * _INDENT), Text("  ").join(below))

    def _table(self, rows: Sequence[Sequence[str | Text]], widths: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", width=_total(widths) if self.wraps else None)
        for name, width in zip(self.columns, widths, strict=False):
            table.add_column(
                name.rstrip(">"), justify="right" if name.endswith(">") else "left", width=width,
                no_wrap=not self.wraps, overflow="ellipsis",
            )  # fmt: skip
        for row in rows:
            table.add_row(*map(_text, row[: len(widths)]))
        return table


def fit_widths(natural: Sequence[int], minimums: Mapping[int, int], available: int) -> list[int]:
    """Column widths for `available` cells: each column of `minimums` shrinks to its minimum before the next one does.

    The sum is above `available` if all of them are at their minimum and that is not enough.
    """
    widths = list(natural)
    for index, minimum in minimums.items():
        widths[index] -= max(0, min(_total(widths) - available, widths[index] - minimum))
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _text(cell: str | Text) -> Text:
    # Not parsed as markup: a job's message may contain brackets.
    return cell if isinstance(cell, Text) else Text(cell)
