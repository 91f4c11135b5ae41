"""Commands that people are told to run: their words are quoted for a shell, wherever they are printed."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.shell import quoted

PROJECT = Path(__file__).resolve().parents[2]
NOT_PRINTED = {"tests", "bench", "tools", ".venv", "build", "dist", "mutants", ".demo"}
#: Programs that people are told to run on a path, and what may stand between the program and the path.
_COMMAND = re.compile(
    r"(?:^|[\s`(:&|])(?:sudo )?(chmod|chown|fuser|ls|cd|rm|cp|mv|cat|ln|mkdir|rmdir|stat|sqlite3|tail|less|kill"
    r"|python3?|pip|pytest|grep|du|df|sh|source)((?: [-+=a-zA-Z0-9./]+)*) (?:[-a-z]+=)?['\"]?$"
)
#: Names of variables that hold numbers, or words that are plain by their nature.
_PLAIN_NAMES = re.compile(r"job_id|run_id|^run$|pid|state\['pid'\]|name|option")


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_shell_reads_a_quoted_word_as_it_is(word: str) -> None:
    assert shlex.split(quoted(word)) == [word]


@pytest.mark.parametrize("word", ["", "a b", "d'Ávila", '"', "$HOME", "`x`", "*", "~", "a\nb", "\\", "#", "a;b", "!"])
def test_sh_reads_it_too(word: str) -> None:
    done = subprocess.run(["sh", "-c", f"printf %s {quoted(word)}"], capture_output=True, check=True)
    assert done.stdout == word.encode()


def test_plain_words_stay_readable() -> None:
    assert quoted(Path("/home/me/purutos/puruto-cron/db/cron.db")) == "/home/me/purutos/puruto-cron/db/cron.db"


def test_every_path_in_a_printed_command_is_quoted() -> None:
    bare = [where for path in _sources() for where in _unquoted(path)]
    assert bare == []


def test_the_search_finds_what_is_not_quoted(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text(
        "a = f'Run: chmod o-w {path}'\nb = f'see: ls -ld {quoted(path)}'\nc = f'(fuser {path})'\n"
        "d = f'cd {folder} && x'\ne = f'sudo chown {me} {quoted(path)}'\nf = f'kill {pid}'\n"
    )
    assert [where.partition(": ")[0] for where in _unquoted(source)] == ["x.py:1", "x.py:3", "x.py:4", "x.py:5"]


def _sources() -> Iterator[Path]:
    for path in sorted(PROJECT.rglob("*.py")):
        if not NOT_PRINTED.intersection(path.relative_to(PROJECT).parts):
            yield path


def _unquoted(path: Path) -> Iterator[str]:
    """Each value in an f-string that follows the name of a program, and does not come from a function that quotes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                text = ast.unparse(part.value)
                is_safe = re.match(r"(quoted|shlex\.quote|shlex\.join)\(", text) or _PLAIN_NAMES.search(text)
                if _COMMAND.search(before) and not is_safe:
                    yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"
                before += "x"
            else:
                before += str(ast.literal_eval(part))
