"""What help and hints tell people to run can be pasted; help fits the screen."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from commands import cli, listing

CRON = Path(__file__).resolve().parents[2]
#: The name of a command of ours as a program, or main.py without its Python.
_BARE = re.compile(
    rf"(?<!python3 )(?<![\w/])main\.py (?:{'|'.join(listing.names())})\b"
    rf"|\b(?:[Rr]un|Write|Use|[Tt]hen):? `?(?:{'|'.join(n for n in listing.names() if '-' in n)})\b(?! with)"
)
FOLDERS = sorted(path.parent.name for path in CRON.glob("*/__init__.py") if path.parent.name != "tests")


def _texts(path: Path) -> list[str]:
    """The texts of a file that a person may read: its strings, with ... for what is put into them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    comments = {id(node.body[0].value) for node in ast.walk(tree)
                if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    return [node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments]  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_command_in_a_hint_can_be_pasted(folder: str) -> None:
    files = sorted((CRON / folder).rglob("*.py"))
    bare = {f"{path.name}: {text}" for path in files for text in _texts(path) if _BARE.search(text)}
    assert not bare


def _help(name: str, width: int) -> str:
    root = click.Context(cli, info_name="python3 main.py", terminal_width=width)
    if not name:
        return cli.get_help(root)
    command = cli.get_command(root, name)
    assert command is not None
    return command.get_help(click.Context(command, info_name=name, parent=root, terminal_width=width))


@pytest.mark.parametrize("name", ["", *listing.names()])
def test_help_fits_the_screen_but_for_its_examples(name: str) -> None:
    for width in (60, 80, 100):
        text = _help(name, width).replace("\n\n", "\n")
        prose = re.sub(r"^ *Examples?:\n(?: {4}.*\n?)*", "", text, flags=re.MULTILINE)
        wide = [line for line in prose.split("\n") if len(line) > width and not line.startswith(("Usage: ", "  --"))]
        assert not wide
