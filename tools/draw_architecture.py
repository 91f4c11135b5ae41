"""Draws the picture of docs/architecture.md from the imports of the program: who imports whom, layer by layer.

    python3 tools/draw_architecture.py            writes docs/pictures/architecture.svg
    python3 tools/draw_architecture.py --check    writes nothing, and exits 1 if the picture is out of date

Rows are the layers of the contract in pyproject.toml, and the six modules of the root where their imports put them. A
box is a package or such a module, with the first sentence of its docstring. An arrow is an import; what follows from
other arrows is left out. Everything imports `core`, so it is drawn as the ground, without arrows.

The layout is the usual one for layered graphs (Sugiyama): a long arrow gets a place in each row that it passes, rows
are ordered to cross few arrows, then each place moves towards its neighbours. Nothing in it is left to chance.
"""

from __future__ import annotations

import ast
import itertools
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PICTURE = "docs/pictures/architecture.svg"

#: The modules of the root, and the package that holds the parts of each.
SPINE = {
    "main": "commands",
    "scheduler": "scheduling",
    "executor": "execution",
    "invoker": "invocation",
    "notifier": "channels",
    "db": "store",
}
GROUND = "core"

#: Pixels.
BOX, PASSAGE, GAP, MARGIN = 176, 4, 14, 20
_LINE, _PADDING, _BETWEEN, _HEAD = 15, 9, 46, 62
_NAME_SIZE, _TEXT_SIZE = 14, 11.5
#: Letters of a line of text: a box holds them in every font that is likely.
LETTERS = 25
_SWEEPS = 40
_PULL = 0.35


# --- what is drawn ---


@dataclass(frozen=True)
class Program:
    """Packages and modules of the root: what each is for, what each imports, and the layers from top to bottom."""

    purposes: Mapping[str, str]
    imports: Mapping[str, frozenset[str]]
    layers: tuple[tuple[str, ...], ...]

    def arrows(self) -> list[tuple[str, str]]:
        """The imports that do not follow from others, without those of the ground."""
        reach = {name: self._reach(name) for name in self.imports}
        return [
            (name, used)
            for name in sorted(self.imports)
            for used in sorted(self.imports[name])
            if used != GROUND and not any(used in reach[other] for other in self.imports[name])
        ]

    def _reach(self, name: str) -> set[str]:
        """What a package imports, directly or through others."""
        found: set[str] = set()
        waiting = list(self.imports[name])
        while waiting:
            if (used := waiting.pop()) not in found:
                found.add(used)
                waiting += self.imports[used]
        return found

    def rows(self) -> list[tuple[str, ...]]:
        """The layers with the six modules in them, the ground left out.

        A module goes into the lowest layer that lies above what it imports and below what imports it. Where there is
        none, it gets a row between two layers.
        """
        heights = {name: float(number) for number, layer in enumerate(self.layers) for name in layer}
        modules = [name for name in SPINE if name in self.imports]
        # From the bottom: a module that imports another one finds its height there.
        for module in sorted(modules, key=lambda name: (len(self._reach(name)), name)):
            below = min(heights[used] for used in self.imports[module] if used in heights)
            above = max([heights[name] for name in heights if module in self.imports[name]], default=-1.0)
            whole = float(-(-below // 1) - 1)
            heights[module] = whole if whole > above else below - 0.5
        return [
            tuple(sorted(name for name in heights if heights[name] == height and name != GROUND))
            for height in sorted(set(heights.values()))
            if any(heights[name] == height and name != GROUND for name in heights)
        ]


def read_program(root: Path) -> Program:
    """The program in the folder `root`. Raises `ValueError` for a package without a docstring."""
    layers = _layers(root)
    packages = [name for layer in layers for name in layer]
    files = {name: sorted((root / name).rglob("*.py")) for name in packages}
    files |= {name: [root / f"{name}.py"] for name in SPINE}
    purposes: dict[str, str] = {}
    imports: dict[str, frozenset[str]] = {}
    for name, paths in files.items():
        used: set[str] = set()
        for path in paths:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            used |= {module.split(".")[0] for module in _imported(tree)}
            if path in (root / f"{name}.py", root / name / "__init__.py"):
                purposes[name] = _first_sentence(name, tree)
        imports[name] = frozenset(used & set(files) - {name})
    return Program(purposes, imports, layers)


def _layers(root: Path) -> tuple[tuple[str, ...], ...]:
    with (root / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["id"] == "layers"]
    return tuple(tuple(name.strip() for name in layer.split("|")) for layer in layers)


def _imported(module: ast.Module) -> Iterator[str]:
    """What is imported when the program runs: neither for types alone, nor when a module is started as a program."""
    waiting: list[ast.stmt] = list(module.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            waiting += node.orelse
        else:
            # Imports are statements: no expression is looked into.
            blocks = [node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())]
            waiting += [inner for block in blocks for name in _BLOCKS for inner in getattr(block, name, ())]


_BLOCKS = ("body", "orelse", "finalbody")


def _first_sentence(name: str, tree: ast.Module) -> str:
    text = " ".join((ast.get_docstring(tree) or "").replace("`", "").split())
    if not text:
        raise ValueError(f"{name} does not say what it is for")
    return text.split(". ")[0].rstrip(".")


# --- where it is drawn ---


@dataclass
class Place:
    """A box, or the passage of a long arrow through a row. `x` is its middle."""

    name: str
    row: int
    lines: list[str] = field(default_factory=list)
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)
    x: float = 0.0

    @property
    def width(self) -> int:
        return BOX if self.lines else PASSAGE


#: The places of an arrow, from the box that imports to the box that is imported.
Path_ = list[Place]


@dataclass(frozen=True)
class Drawing:
    """Boxes and arrows with their coordinates in pixels."""

    rows: list[list[Place]]
    paths: list[Path_]
    tops: list[int]
    heights: list[int]
    width: int


def lay_out(program: Program) -> Drawing:
    """Places every box and every arrow."""
    names = program.rows()
    boxes = {
        name: Place(name, number, _wrap(program.purposes[name])) for number, row in enumerate(names) for name in row
    }
    rows = [[boxes[name] for name in row] for row in names]
    paths = [_path(boxes[user], boxes[used], rows) for user, used in program.arrows()]
    _order(rows)
    _spread(rows)
    width = round(max(place.x + place.width / 2 for row in rows for place in row)) + MARGIN
    heights = [max(_height(place) for place in row if place.lines) for row in rows]
    tops = [_HEAD + number * _BETWEEN + sum(heights[:number]) for number in range(len(rows))]
    return Drawing(rows, paths, tops, heights, width)


def _wrap(text: str) -> list[str]:
    """Lines of much the same length, and no more of them than have to be."""
    lines = textwrap.wrap(text, LETTERS)
    for letters in range(LETTERS - 1, max(map(len, text.split())) - 1, -1):
        if len(narrower := textwrap.wrap(text, letters)) > len(lines):
            break
        lines = narrower
    return lines


def _height(place: Place) -> int:
    return 2 * _PADDING + _LINE * (1 + len(place.lines))


def _path(user: Place, used: Place, rows: list[list[Place]]) -> Path_:
    path = [user]
    for row in range(user.row + 1, used.row):
        passage = Place(f"{user.name} to {used.name}", row)
        rows[row].append(passage)
        path.append(passage)
    path.append(used)
    for upper, lower in itertools.pairwise(path):
        upper.below.append(lower)
        lower.above.append(upper)
    return path


def _order(rows: list[list[Place]]) -> None:
    """Orders each row so that few arrows cross."""
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for number in range(len(rows)) if down else reversed(range(len(rows))):
            _sort_row(rows, number, down=down)
        _swap_neighbours(rows)
        if (crossings := _crossings(rows)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _sort_row(rows: list[list[Place]], number: int, *, down: bool) -> None:
    row = rows[number]
    where = {id(place): (index + 0.5) / len(other) for other in rows for index, place in enumerate(other)}

    def middle(place: Place) -> float:
        neighbours = place.above if down else place.below
        return sum(where[id(other)] for other in neighbours) / len(neighbours) if neighbours else where[id(place)]

    row.sort(key=middle)


def _swap_neighbours(rows: list[list[Place]]) -> None:
    """Swaps two places that stand side by side as long as that spares a crossing."""
    improved = True
    while improved:
        improved = False
        for row in rows:
            for index in range(len(row) - 1):
                before = _crossings(rows)
                row[index], row[index + 1] = row[index + 1], row[index]
                if _crossings(rows) < before:
                    improved = True
                else:
                    row[index], row[index + 1] = row[index + 1], row[index]


def _crossings(rows: list[list[Place]]) -> int:
    where = {id(place): index for row in rows for index, place in enumerate(row)}
    total = 0
    for row in rows:
        ends = [(where[id(place)], where[id(lower)]) for place in row for lower in place.below]
        total += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(ends, 2))
    return total


def _spread(rows: list[list[Place]]) -> None:
    """Gives each place its `x`: as near to its neighbours as the order and the width of the boxes allow."""
    for row in rows:
        _put(row, [0.0] * len(row))
    looks: list[Callable[[Place], list[Place]]] = [
        lambda place: place.above,
        lambda place: place.below,
        lambda place: place.above + place.below,
    ]
    for sweep in range(_SWEEPS * 3):
        look = looks[sweep % 3]
        for row in reversed(rows) if sweep % 3 == 1 else rows:
            _put(row, [_wish(place, look(place)) for place in row])
    left = min(place.x - place.width / 2 for row in rows for place in row)
    for row in rows:
        for place in row:
            place.x = float(round(place.x - left + MARGIN))


def _wish(place: Place, neighbours: Sequence[Place]) -> float:
    """Where a place would like to stand: in the middle of its neighbours. Two passages want to be one straight line."""
    weights = [8.0 if not place.lines and not other.lines else 1.0 for other in neighbours]
    if not weights:
        return place.x
    wishes = sum(weight * other.x for weight, other in zip(weights, neighbours, strict=True))
    # The middle of the picture is 0: a weak pull to it keeps the picture narrow enough to be read.
    return wishes / (sum(weights) + _PULL)


def _put(row: Sequence[Place], wishes: Sequence[float]) -> None:
    """Puts a row in its order as near to the wishes as it can be without an overlap: least squares, by pooling."""
    offsets = [0.0]
    for left, right in itertools.pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + GAP)
    # Blocks of places that stand as close as they can: the weight, and the sum of weighted wishes.
    blocks: list[tuple[float, float, int]] = []
    for place, wish, offset in zip(row, wishes, offsets, strict=True):
        # A long arrow that stays straight is worth more than a box in the middle.
        weight = 1.0 if place.lines else 8.0
        blocks.append((weight, weight * (wish - offset), 1))
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][0] > blocks[-1][1] / blocks[-1][0]:
            (w1, s1, n1), (w2, s2, n2) = blocks[-2:]
            blocks[-2:] = [(w1 + w2, s1 + s2, n1 + n2)]
    index = 0
    for weight, total, count in blocks:
        for place, offset in zip(row[index : index + count], offsets[index : index + count], strict=True):
            place.x = total / weight + offset
        index += count


# --- how it is drawn ---

_STYLE = """\
text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #1f2933 }
.name { font-weight: 700; font-size: %spx }
.text { font-size: %spx }
.light { fill: #52606d }
.module { fill: #1f5fa8 }
.inverse { fill: #ffffff }
.parts { fill: #dbe9f8; stroke: #1f5fa8 }
.other { fill: #f7f8fa; stroke: #9aa5b1 }
.ground { fill: #e4e7eb; stroke: #9aa5b1 }
.arrow { fill: none; stroke: #616e7c; stroke-width: 1.3 }
.head { fill: #616e7c }""" % (_NAME_SIZE, _TEXT_SIZE)  # noqa: UP031 - braces are CSS here


def draw(drawing: Drawing, program: Program) -> str:
    """The picture as SVG."""
    ground_top = drawing.tops[-1] + drawing.heights[-1] + _BETWEEN
    height = ground_top + 2 * _PADDING + 2 * _LINE + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawing.width} {height}" '
        f'width="{drawing.width}" height="{height}" role="img" aria-labelledby="title">',
        '<title id="title">The packages of puruto-cron, and who imports whom</title>',
        f"<style>\n{_STYLE}\n</style>",
        f'<rect width="{drawing.width}" height="{height}" rx="8" fill="#ffffff"/>',
        *_legend(),
    ]
    for curves in arrows(drawing):
        parts.append(f'<path class="arrow" d="{_path_text(curves)}"/>')
        x, y = curves[-1][3]
        parts.append(f'<path class="head" d="M{x:g},{y:g}l-3.5,-8h7z"/>')
    for row, top in zip(drawing.rows, drawing.tops, strict=True):
        parts += [text for place in row if place.lines for text in _box(place, top)]
    parts += _ground(drawing.width, ground_top, program.purposes[GROUND])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _kind(name: str) -> str:
    return "module" if name in SPINE else "parts" if name in SPINE.values() else "other"


def _box(place: Place, top: int) -> Iterator[str]:
    left, name = place.x - BOX / 2, f"{place.name}.py" if place.name in SPINE else f"{place.name}/"
    yield f'<rect class="{_kind(place.name)}" x="{left:g}" y="{top}" width="{BOX}" height="{_height(place)}" rx="5"/>'
    color = " inverse" if place.name in SPINE else ""
    yield f'<text class="name{color}" x="{left + 10:g}" y="{top + _PADDING + 11}">{escape(name)}</text>'
    for number, line in enumerate(place.lines, 1):
        y = top + _PADDING + 11 + _LINE * number
        yield f'<text class="text{color}" x="{left + 10:g}" y="{y}">{escape(line)}</text>'


def _ground(width: int, top: int, purpose: str) -> Iterator[str]:
    height = 2 * _PADDING + 2 * _LINE
    yield f'<rect class="ground" x="{MARGIN}" y="{top}" width="{width - 2 * MARGIN}" height="{height}" rx="5"/>'
    yield f'<text class="name" x="{MARGIN + 10}" y="{top + _PADDING + 11}">{GROUND}/</text>'
    line = f"{purpose}. Every package and module above imports it."
    yield f'<text class="text" x="{MARGIN + 10}" y="{top + _PADDING + 11 + _LINE}">{escape(line)}</text>'


def _legend() -> Iterator[str]:
    x = MARGIN
    for kind, text in (("module", "a module of the root"), ("parts", "its parts"), ("other", "another package")):
        yield f'<rect class="{kind}" x="{x}" y="18" width="14" height="14" rx="3"/>'
        yield f'<text class="text light" x="{x + 20}" y="29">{text}</text>'
        x += 36 + 7 * len(text)
    yield f'<path class="arrow" d="M{x},25h22"/><path class="head" d="M{x + 28},25l-8,-3.5v7z"/>'
    yield f'<text class="text light" x="{x + 36}" y="29">imports, directly or through others</text>'


Point = tuple[float, float]
#: A cubic curve: start, two control points, end.
Curve = tuple[Point, Point, Point, Point]


def arrows(drawing: Drawing) -> Iterator[list[Curve]]:
    """Each arrow as the curves that it consists of. It leaves a box at the bottom and reaches one at the top."""
    leaving: dict[str, list[Path_]] = {}
    reaching: dict[str, list[Path_]] = {}
    for path in drawing.paths:
        leaving.setdefault(path[0].name, []).append(path)
        reaching.setdefault(path[-1].name, []).append(path)
    for path in drawing.paths:
        start, end = path[0], path[-1]
        x = _port(start, sorted(leaving[start.name], key=lambda other: other[1].x), path)
        y = float(drawing.tops[start.row] + _height(start))
        curves: list[Curve] = []
        for place in path[1:]:
            to_x = place.x if place is not end else _port(end, sorted(reaching[end.name], key=lambda o: o[-2].x), path)
            top = float(drawing.tops[place.row])
            # What leaves a low box goes straight down to the end of its row first.
            edge = float(drawing.tops[place.row - 1] + drawing.heights[place.row - 1])
            if y < edge:
                curves.append(((x, y), (x, y), (x, edge), (x, edge)))
            middle = (edge + top) / 2
            curves.append(((x, edge), (x, middle), (to_x, middle), (to_x, top)))
            x, y = to_x, top
        yield curves


def _port(place: Place, paths: Sequence[Path_], path: Path_) -> float:
    """Where an arrow meets its box: side by side in the order in which they come, around the middle."""
    number = next(index for index, other in enumerate(paths) if other is path)
    step = min(22.0, (BOX - 40) / max(1, len(paths) - 1))
    return place.x + step * (number - (len(paths) - 1) / 2)


def _path_text(curves: Sequence[Curve]) -> str:
    (x, y) = curves[0][0]
    steps = " ".join("C" + " ".join(f"{px:g},{py:g}" for px, py in curve[1:]) for curve in curves)
    return f"M{x:g},{y:g} {steps}"


def picture(root: Path = ROOT) -> str:
    """The SVG for the program in the folder `root`."""
    program = read_program(root)
    return draw(lay_out(program), program)


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Writes the picture or, with `--check`, only says whether it is out of date. Returns the exit code."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write(__doc__ or "")
        return 2
    path, text = root / PICTURE, picture(root)
    if arguments:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write(f"{PICTURE} is out of date; run: make pictures\n")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    sys.stderr.write(f"wrote {PICTURE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
