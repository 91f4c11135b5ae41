"""The pictures of the README: drawn by the program from a database of its own, and up to date."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.workspace import PROJECT
from tools import draw_pictures


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return draw_pictures.pictures()


def test_the_pictures_in_the_project_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_pictures.main(["--check"]) == 0, capsys.readouterr().err


def test_the_same_pictures_are_drawn_again(drawn: dict[str, str]) -> None:
    assert draw_pictures.pictures() == drawn


def test_they_are_svg_that_needs_nothing_else(drawn: dict[str, str]) -> None:
    assert sorted(drawn) == sorted(["timeline.svg", "watch.svg", *(f"{name}.svg" for name in draw_pictures._TEXTS)])
    for name, svg in drawn.items():
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg", name
        shown = svg.replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")
        assert "http" not in shown, name
        assert "@font-face" not in svg, name


def test_they_show_every_job_and_what_became_of_its_slots(drawn: dict[str, str]) -> None:
    read = {name: " ".join(draw_pictures.words_of(svg)) for name, svg in drawn.items()}
    for job_id, _, _ in draw_pictures._JOBS:
        assert job_id in read["timeline.svg"]
        assert job_id in read["watch.svg"]
    for kind in ("ok", "running", "error", "interrupted", "missed", "to come"):
        assert kind in read["timeline.svg"]
    assert "NONZERO_EXIT: prices.py ended with exit code 1" in read["watch.svg"]
    assert "21:04:12" in read["watch.svg"]


def test_a_picture_that_is_missing_or_shows_something_else_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw_pictures.main([], tmp_path) == 0
    assert draw_pictures.main(["--check"], tmp_path) == 0
    folder = tmp_path / draw_pictures.FOLDER
    changed = folder / "watch.svg"
    changed.write_text(changed.read_text(encoding="utf-8").replace("hourly-count", "another-job"), encoding="utf-8")
    (folder / "timeline.svg").unlink()
    capsys.readouterr()
    assert draw_pictures.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert "timeline.svg is out of date" in said
    assert "watch.svg is out of date" in said


def test_another_option_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_pictures.main(["--nonsense"]) == 2
    assert "python3 tools/draw_pictures.py" in capsys.readouterr().err


def test_the_readmes_show_both() -> None:
    for name in ("README.md", "README.es.md"):
        text = (PROJECT / name).read_text(encoding="utf-8")
        assert all(f"]({draw_pictures.FOLDER}/{picture})" in text for picture in ("timeline.svg", "watch.svg"))


def test_every_picture_is_shown_in_a_document(drawn: dict[str, str]) -> None:
    pages = [*PROJECT.glob("README*.md"), *PROJECT.glob("docs/**/*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for name in drawn if f"pictures/{name})" not in text] == []


def test_pictures_of_texts_say_nothing_of_the_machine_that_drew_them(drawn: dict[str, str]) -> None:
    read = {name: " ".join(draw_pictures.words_of(svg)) for name, svg in drawn.items()}
    assert "/home/me/purutos/puruto-cron/db/cron.db" in read["status.svg"]
    assert "did you mean timeout_sec?" in read["error.svg"]
    assert "@reboot" in read["import-crontab.svg"]
    assert not any("/tmp" in text for text in read.values())
