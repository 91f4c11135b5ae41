"""`make install`: what it builds, keeps, mends and refuses. pip is a stand-in, since what it does is not ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.workspace import PATIENCE, PROJECT, needs
from tools import make_environment

pytestmark = pytest.mark.process

VERSION = "{}.{}".format(*sys.version_info)
#: The first lines of a script, as pip writes them in a folder with a blank, and as it writes them elsewhere.
HEADS = ("#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n", "#!{python}\n")
TELL = "import sys\nprint(sys.prefix, *sys.argv[1:], sep='\\n')\n"


@dataclass
class Place:
    """A folder like this project's; `made` are the calls of pip, which fail while `broken`."""

    root: Path
    patch: pytest.MonkeyPatch
    made: list[tuple[str, ...]] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        for name in (
            "requirements.lock",
            "requirements-dev.lock",
            "examples/purutos/puruto-telegram/requirements.lock",
        ):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(name)
        (self.root / "pyproject.toml").write_text("[project.optional-dependencies]\nmutants = ['mutmut>=3']\n")
        (self.root / "main.py").write_text(TELL)
        self.patch.setattr(make_environment, "pip", self._pip)
        self.patch.setattr(make_environment, "create", self._create)
        self.settle(self.root)

    def settle(self, root: Path) -> None:
        """From now on the project's folder is this one."""
        self.root = root
        for name, folder in (("ROOT", ""), ("ENVIRONMENT", ".venv"), ("BUILT", ".venv.new"), ("REPLACED", ".venv.old")):
            self.patch.setattr(make_environment, name, root / folder)

    @property
    def bin(self) -> Path:
        return self.root / ".venv" / "bin"

    @property
    def stamp(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.root / ".venv" / ".installed").read_text(encoding="utf-8"))
        return found

    def make(self, *words: str) -> int:
        """What `make` calls; the calls of pip are counted anew."""
        self.made.clear()
        return make_environment.main(words)

    def locks(self) -> list[str]:
        """The lock files that pip was given."""
        return [os.path.relpath(word, self.root) for call in self.made for word in call if word.endswith(".lock")]

    def _create(self, folder: Path) -> None:
        # pip itself is not needed, and takes seconds.
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)

    def _pip(self, folder: Path, *words: str) -> None:
        self.made.append(words)
        if words[0] != "install":
            return
        if self.broken:
            raise make_environment.Failed("no network")
        python = folder / "bin" / "python"
        for number, head in enumerate(HEADS):
            (folder / "bin" / f"tool{number}").write_text(head.format(python=python) + TELL, encoding="utf-8")
            (folder / "bin" / f"tool{number}").chmod(0o755)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path / "mis púrutos" / "puruto-cron", monkeypatch)


def output(*command: object, environ: dict[str, str] | None = None) -> list[str]:
    """The lines that a program prints, started in another folder."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd="/", env=environ, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, ""), words
    return done.stdout.splitlines()


def test_a_new_one_has_what_users_need_and_the_command(place: Place, tmp_path: Path) -> None:
    assert place.make() == 0
    assert place.locks() == ["requirements.lock"]
    assert (place.stamp["folder"], place.stamp["python"], place.stamp["parts"]) == (str(place.root), VERSION, [])
    assert sorted(path.name for path in place.root.glob(".venv*")) == [".venv"]
    link = tmp_path / "puruto-cron"
    link.symlink_to(place.bin / "puruto-cron")
    for command in (place.bin / "puruto-cron", link):
        assert output(command, "a b", "*") == [str(place.root / ".venv"), "a b", "*"]


def test_what_fits_is_left_as_it_is(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.make("telegram")
    capfd.readouterr()

    def files() -> dict[Path, tuple[int, int]]:
        found = {path: path.lstat() for path in (place.root / ".venv").rglob("*")}
        return {path: (status.st_ino, status.st_mtime_ns) for path, status in found.items()}

    before = files()
    assert [place.make(*words) for words in ((), ("telegram",))] == [0, 0]
    assert place.made == []
    assert files() == before
    assert capfd.readouterr() == ("", "")


def test_what_was_asked_for_once_stays(place: Place) -> None:
    place.make()
    place.make("telegram")
    sibling = "examples/purutos/puruto-telegram/requirements.lock"
    assert place.locks() == ["requirements.lock", sibling]
    (place.root / sibling).write_text("a newer release")
    place.make()
    assert place.locks() == ["requirements.lock", sibling]
    place.make("dev", "mutants")
    assert place.locks() == ["requirements-dev.lock", sibling]
    assert ("install", "mutmut>=3") in place.made
    assert place.stamp["parts"] == ["dev", "mutants", "telegram"]


def test_after_a_move_everything_in_it_works_and_make_mends_what_names_the_old_place(place: Place) -> None:
    place.make("dev")
    there = place.root.parent.parent / "el año" / "puruto-cron"
    there.parent.mkdir()
    place.settle(place.root.rename(there))
    for name in ("puruto-cron", "tool0", "tool1"):
        assert output(place.bin / name) == [str(there / ".venv")]
    activate = place.bin / "activate"
    assert str(there) not in activate.read_text(encoding="utf-8")
    assert place.make() == 0
    assert place.made == [], "nothing has to be loaded for that"
    shown = output("bash", "-c", '. "$0" && command -v puruto-cron && echo "$VIRTUAL_ENV"', activate)
    assert shown == [str(place.bin / "puruto-cron"), str(there / ".venv")]
    assert place.stamp["folder"] == str(there)


def test_it_starts_in_any_locale_and_finds_the_program_for_tools(place: Place) -> None:
    place.make("dev")
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/"}
    (place.root / "of_ours.py").write_text("print('found')\n")
    assert output(place.bin / "python", "-c", "import of_ours", environ=environ) == ["found"]


def gone(place: Place) -> None:
    for name in ("python", "python3", f"python{VERSION}"):
        (place.bin / name).unlink(missing_ok=True)
    (place.bin / "python").symlink_to("/nowhere/python3.11")


def of_another_minor_version(place: Place) -> None:
    (place.root / ".venv" / ".installed").write_text(json.dumps({**place.stamp, "python": "3.9"}))


def without_stamp(place: Place) -> None:
    (place.root / ".venv" / ".installed").write_text("")


@pytest.mark.parametrize(
    ("fault", "reason", "parts"),
    [
        (gone, "its Python is gone, as after an upgrade of the system", ["telegram"]),
        (of_another_minor_version, f"its Python is {VERSION} now, and its libraries are for 3.9", ["telegram"]),
        (without_stamp, "the one that is there was not made by this version of puruto-cron", []),
    ],
)
def test_one_that_cannot_be_kept_is_built_anew(
    place: Place, fault: object, reason: str, parts: Sequence[str], capfd: pytest.CaptureFixture[str]
) -> None:
    place.make("telegram")
    (place.root / ".venv" / "left over").touch()
    assert callable(fault)
    fault(place)
    assert place.make() == 0
    assert capfd.readouterr().err.splitlines()[-1] == f"Building .venv: {reason}"
    assert place.stamp["parts"] == parts
    assert not (place.root / ".venv" / "left over").exists()
    assert output(place.bin / "puruto-cron") == [str(place.root / ".venv")]


def test_another_python_is_built_only_if_it_is_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make()
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert (place.make(), place.made) == (0, [])
    assert place.make("--this-python") == 0
    assert place.made


def test_a_build_that_fails_leaves_the_old_one(place: Place) -> None:
    place.make()
    of_another_minor_version(place)
    place.broken = True
    before = place.stamp
    assert place.make() == 1
    assert place.stamp == before
    assert sorted(path.name for path in place.root.glob(".venv*")) == [".venv"]
    assert output(place.bin / "tool1") == [str(place.root / ".venv")]
    place.broken = False
    assert place.make() == 0
    assert place.stamp["python"] == VERSION


def test_what_root_makes_belongs_to_the_owner_of_the_folder(place: Place) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(place.root, 54321, 54321)
    assert place.make() == 0
    assert {path.lstat().st_uid for path in [place.root / ".venv", *(place.root / ".venv").rglob("*")]} == {54321}


@pytest.mark.parametrize("left", [".venv", ".venv.old"])
def test_files_of_another_user_are_named_with_what_to_do(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], left: str
) -> None:
    place.make()
    if left != ".venv":
        shutil.copytree(place.root / ".venv", place.root / left, symlinks=True)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", ".installed")

    monkeypatch.setattr(make_environment, "remove", refuse)
    of_another_minor_version(place)
    (place.root / left / "theirs").touch()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert place.make() == 1
    assert f"sudo chown -R {owner + 1}: '{place.root / '.venv'}'" in capfd.readouterr().err


def test_a_build_that_was_interrupted_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(make_environment, "create", interrupted)
    assert place.make() == 130


def test_a_build_that_was_killed_between_its_renames_is_taken_back(place: Place) -> None:
    place.make()
    shutil.copytree(place.root / ".venv", place.root / ".venv.new", symlinks=True)
    (place.root / ".venv").rename(place.root / ".venv.old")
    assert (place.make(), place.made) == (0, [])
    assert sorted(path.name for path in place.root.glob(".venv*")) == [".venv"]


def test_a_part_that_is_not_there_is_refused_by_name(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    assert place.make("telegramm") == 1
    assert "There is no part 'telegramm'" in capfd.readouterr().err
    assert not (place.root / ".venv").exists()


@needs("make")
def test_make_takes_the_first_python_that_is_new_enough(tmp_path: Path) -> None:
    """Each stand-in says its name; the old one answers as an old Python does."""
    for name, code in (("python3", 1), ("python3.13", 0), ("python3.12", 0)):
        (tmp_path / name).write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit {code}\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    shutil.copy2(PROJECT / "Makefile", tmp_path)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    def make(*words: str) -> tuple[int, str]:
        command = ["make", "--no-print-directory", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    assert make("telegram") == (0, "python3.13 tools/make_environment.py telegram\n")
    assert make("install", "PYTHON=python3.12") == (0, "python3.12 tools/make_environment.py --this-python\n")
    code, said = make("install", "PYTHON=python3")
    assert (code, "puruto-cron needs Python 3.11 or newer" in said) == (2, True)
