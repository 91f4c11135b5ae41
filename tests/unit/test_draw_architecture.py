"""The picture of the packages: up to date, drawn from the imports, and to be read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.workspace import PROJECT
from tools import draw_architecture
from tools.draw_architecture import BOX, GROUND, SPINE, Curve, Drawing, Point, Program


@pytest.fixture(scope="module")
def program() -> Program:
    return draw_architecture.read_program(PROJECT)


@pytest.fixture(scope="module")
def drawing(program: Program) -> Drawing:
    return draw_architecture.lay_out(program)


@pytest.fixture(scope="module")
def svg(drawing: Drawing, program: Program) -> str:
    return draw_architecture.draw(drawing, program)


def closure(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What follows from the arrows, and these."""
    found = set(arrows)
    while more := {(a, d) for (a, b), (c, d) in itertools.product(found, found) if b == c} - found:
        found |= more
    return found


def boxes(drawing: Drawing) -> Iterator[tuple[str, float, float, float, float]]:
    """Name, left, top, right, bottom."""
    for row, top in zip(drawing.rows, drawing.tops, strict=True):
        for place in row:
            if place.lines:
                height = draw_architecture._height(place)
                yield place.name, place.x - BOX / 2, top, place.x + BOX / 2, top + height


def points(curve: Curve) -> Iterator[Point]:
    """Twenty-one points of a cubic curve."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = curve
    for step in range(21):
        t = step / 20
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        yield a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3


def test_the_picture_in_the_project_is_up_to_date(svg: str) -> None:
    shown = (PROJECT / draw_architecture.PICTURE).read_text(encoding="utf-8")
    assert shown == svg, "docs/pictures/architecture.svg is out of date; run: make pictures"


def test_the_arrows_say_what_all_imports_say_and_none_follows_from_others(program: Program) -> None:
    imports = {(user, used) for user, all_ in program.imports.items() for used in all_ if used != GROUND}
    arrows = set(program.arrows())
    assert closure(arrows) == closure(imports)
    for arrow in arrows:
        assert arrow not in closure(arrows - {arrow})


def test_everything_is_said_to_import_the_ground_and_does(program: Program) -> None:
    imports = {(user, used) for user, all_ in program.imports.items() for used in all_}
    assert {user for user, used in closure(imports) if used == GROUND} == set(program.imports) - {GROUND}


def test_layers_are_rows_and_every_arrow_goes_down(program: Program) -> None:
    rows = program.rows()
    heights = {name: number for number, row in enumerate(rows) for name in row}
    assert set(heights) == set(program.imports) - {GROUND}
    assert program.layers[-1] == (GROUND,)
    for layer in program.layers[:-1]:
        assert len({heights[name] for name in layer}) == 1
    for upper, lower in itertools.pairwise(program.layers[:-1]):
        assert heights[upper[0]] < heights[lower[0]]
    assert all(heights[user] < heights[used] for user, used in program.arrows())


def test_every_box_shows_its_name_and_the_first_sentence_of_its_docstring(program: Program, svg: str) -> None:
    texts = ["".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]
    for name, purpose in program.purposes.items():
        assert (f"{name}.py" if name in SPINE else f"{name}/") in texts
        assert purpose in " ".join(texts), name
    assert program.purposes["store"] == "All SQL of the program, one subject a file"


def test_no_text_leaves_its_box_and_no_box_lies_on_another(drawing: Drawing) -> None:
    # Seven tenths of an em a letter are more than a wide font takes on average.
    widest = (BOX - 20) / draw_architecture._TEXT_SIZE / 0.52
    assert widest >= draw_architecture.LETTERS
    lines = [line for row in drawing.rows for place in row for line in place.lines]
    assert max(map(len, lines)) <= draw_architecture.LETTERS
    for first, second in itertools.combinations(boxes(drawing), 2):
        _, left, top, right, bottom = first
        _, other_left, other_top, other_right, other_bottom = second
        assert right < other_left or other_right < left or bottom < other_top or other_bottom < top, (first, second)
    assert all(left > 0 and right < drawing.width for _, left, _, right, _ in boxes(drawing))


def test_no_arrow_goes_through_a_box(drawing: Drawing) -> None:
    found = list(draw_architecture.arrows(drawing))
    assert len(found) == len(drawing.paths) > 20
    for curves in found:
        assert all(before[3] == after[0] for before, after in itertools.pairwise(curves))
        for x, y in (point for curve in curves for point in points(curve)):
            inside = [
                name for name, left, top, right, bottom in boxes(drawing) if left < x < right and top < y < bottom
            ]
            assert inside == []


def test_few_arrows_cross(drawing: Drawing) -> None:
    assert draw_architecture._crossings(drawing.rows) <= 6


def test_it_is_svg_that_needs_nothing_else_and_stands_on_a_ground_of_its_own(svg: str) -> None:
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    width, height = re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0]
    assert f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>' in svg
    assert int(width) <= 1400


def test_the_same_program_gives_the_same_picture(program: Program, svg: str) -> None:
    backwards = {name: program.imports[name] for name in reversed(list(program.imports))}
    again = Program(dict(reversed(list(program.purposes.items()))), backwards, program.layers)
    assert draw_architecture.draw(draw_architecture.lay_out(again), again) == svg


def program_in(folder: Path, executor: str = "import core") -> Path:
    """A small program in an empty folder."""
    (folder / "pyproject.toml").write_text(
        '[[tool.importlinter.contracts]]\nid = "layers"\nlayers = ["commands", "scheduling | execution", "core"]\n'
    )
    imports = {"commands": "scheduling", "scheduling": "executor", "execution": "core", "core": "os"}
    for name, used in imports.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f'"""What {name} is for. More of it."""\nimport {used}\n')
    for name in SPINE:
        (folder / f"{name}.py").write_text(f'"""The {name}."""\n' + (executor if name == "executor" else "import core"))
    return folder


def test_imports_for_types_and_of_a_program_are_left_out(tmp_path: Path) -> None:
    text = (
        "import core\nif TYPE_CHECKING:\n    import commands\n"
        'def late():\n    from execution import part\nif __name__ == "__main__":\n    import scheduling\n'
    )
    found = draw_architecture.read_program(program_in(tmp_path, text))
    assert found.imports["executor"] == {"core", "execution"}
    assert found.purposes["execution"] == "What execution is for"


def test_a_module_that_fits_into_no_layer_gets_a_row_between_two(tmp_path: Path) -> None:
    rows = draw_architecture.read_program(program_in(tmp_path)).rows()
    # Below scheduling, which imports it, and above core.
    assert rows.index(("executor",)) == rows.index(next(row for row in rows if "scheduling" in row)) + 1


def test_a_package_that_does_not_say_what_it_is_for_is_named(tmp_path: Path) -> None:
    (program_in(tmp_path) / "execution" / "__init__.py").write_text("import core\n")
    with pytest.raises(ValueError, match="execution does not say what it is for"):
        draw_architecture.read_program(tmp_path)


def test_a_picture_that_is_missing_or_old_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = program_in(tmp_path)
    assert draw_architecture.main(["--check"], root) == 1
    assert "architecture.svg is out of date; run: make pictures" in capsys.readouterr().err
    assert draw_architecture.main([], root) == 0
    assert draw_architecture.main(["--check"], root) == 0
    (root / "scheduler.py").write_text('"""The scheduler."""\nimport scheduling\n')
    assert draw_architecture.main(["--check"], root) == 1


def test_another_option_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_architecture.main(["--nonsense"]) == 2
    assert "python3 tools/draw_architecture.py" in capsys.readouterr().err
