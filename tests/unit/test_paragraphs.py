"""What a person copies from a text stays in one line: paths with blanks, commands, schedules, values of variables."""

from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text

from render import hanging, paragraphs
from render.console import ViewContext
from render.errors import error_text
from render.screen import Screen
from render.views import text_of
from tests.support_pictures import NOW, text

ROOT = "/home/ana/mis púrutos de  noche/puruto-cron"
FILES = f"{ROOT}/runs/a-job/a-job-20261121T100841"

PIECES = [
    "/home/ana/mis púrutos/puruto-cron/runs/x",
    "/home/ana/a folder of mine/puruto-cron",
    "(/home/ana/mis púrutos/puruto-cron/.jobs.json)",
    "'/home/ana/mis púrutos'",
    "PATH=/home/ana/mis púrutos/bin:/usr/bin",
    "`make install`",
    "python3 main.py sync-jobs",
    "python3 main.py run-now weekday-report --force",
    "python3 main.py history a-job --limit 3 --before a-job-20261201T033618",
    "* * * * *",
    "*/15 8-17 * * MON-FRI",
    "0 30 8 * * 1-5",
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("width", [20, 40, 60])
def test_what_is_copied_is_not_broken(piece: str, width: int) -> None:
    for before in range(30):
        sentence = f"{'x' * before} it says: {piece}, so be it."
        for lines in (paragraphs.wrapped(sentence, width), [t.plain for t in hanging.wrapped(Text(sentence), width)]):
            assert sum(piece in line for line in lines) == 1, lines
            assert " ".join(lines).split() == sentence.split()


def test_other_text_is_broken_between_all_its_words() -> None:
    sentence = "/usr/bin/python3 has no library: see docs/x.md, or/and it's what can't be, don't you think so"
    assert paragraphs.wrapped(sentence, 1) == sentence.split()
    after = "Run python3 main.py sync-jobs. Then look at /a/b and at c"
    assert paragraphs.wrapped(after, 1) == ["Run", "python3 main.py sync-jobs.", *after.split()[4:]]


@pytest.mark.parametrize("ending", [" " * 200_000, "/a " * 60_000, "'" * 200_000, "1 " * 90_000, "`a " * 60_000])
def test_a_long_text_is_broken_at_once(ending: str) -> None:
    """A search whose time grows with the square of the length would not end within the patience of the tests."""
    assert "".join(paragraphs.wrapped(f"x {ending}", 80)).replace(" ", "") == f"x{ending}".replace(" ", "")


def _shown(view: str, report: dict[str, Any]) -> list[str]:
    return text_of(view, report, ViewContext(NOW, "Europe/Madrid", Screen(60, 24))).split("\n")


def test_the_files_of_a_run_are_named_in_one_line() -> None:
    row = {"run_id": "r", "job_id": "a-job", "status": "ok", "started_at": text(-1), "output_dir": FILES}
    report = {"status": "ok", "job_id": "a-job", "run_id": "r", "row": row, "error": None}
    assert any(line.endswith(f"  '{FILES}'") for line in _shown("run-now", report))
    shown = {"run": row, "calls": [], "output": []}
    assert any(line.endswith(f"  '{FILES}'") for line in _shown("show", shown))
    output = [{"path": f"{FILES}/attempt-1.stdout", "text": "x", "truncated": True}]
    assert f"'{FILES}/attempt-1.stdout', its end" in _shown("logs", {"events": [], "output": output})


def test_dry_run_cuts_no_value() -> None:
    folders = ":".join(f"{ROOT}/{number}/bin" for number in range(60))
    report: dict[str, Any] = {
        "job_id": "a", "problem": None, "gate": None, "paused": None, "enabled": True, "running": False,
        "instants": [], "timezone": "UTC", "schedule": "@daily",
        "target": f"{ROOT}/a target", "argv": ["sh", "-c", "echo  one; echo two " * 9, ROOT],
        "environment": {"PATH": folders, "PURUTO_CRON_RUN_FOLDER": FILES},
    }  # fmt: skip
    lines = _shown("dry-run", report)
    assert f"    PATH='{folders}'" in lines
    assert any(line.endswith(f"  '{ROOT}/a target'") for line in lines)
    assert f"    sh -c '{'echo  one; echo two ' * 9}' '{ROOT}'" in lines


def test_the_path_of_an_error_is_in_one_line() -> None:
    error = {"code": "X", "message": "It is not there", "details": {"path": f"{ROOT}/a file"}}
    assert error_text(error, Screen(40)).split("\n")[1] == f"  path: '{ROOT}/a file'"
