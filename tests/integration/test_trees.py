"""Folders as a target may leave them: very deep, closed, full of links and odd names. Measured, and deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from maintenance.trees import delete_tree, size_of
from tests.support_app import as_nobody, public_folder
from tests.support_machine import small_disk
from tests.workspace import PROJECT, needs

FILE = 10_000


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """An empty folder whose content a failing test leaves deletable."""
    folder = tmp_path / "ä run" / "tree"
    folder.mkdir(parents=True)
    yield folder
    delete_tree(folder)


def put_deep(tree: Path, depth: int) -> None:
    """Nested folders, more than a path can name, with a file in the last."""
    here = os.open(tree, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    file = os.open("file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=here)
    os.write(file, b"x" * FILE)
    os.close(file)
    os.close(here)


def limited(descriptors: int, call: str, tree: Path) -> str:
    """What a call prints in a child that may open only so many files, and hardly recurse."""
    script = (
        "import resource, sys; from pathlib import Path; from maintenance.trees import delete_tree, size_of\n"
        f"sys.setrecursionlimit(100); resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors}, {descriptors}))\n"
        f"print({call}(Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tree)], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.process
@pytest.mark.parametrize("depth", [3_000, pytest.param(100_000, marks=pytest.mark.full)])
def test_nested_folders_are_measured_and_deleted_with_a_handful_of_descriptors(tree: Path, depth: int) -> None:
    put_deep(tree, depth)
    assert int(limited(12, "size_of", tree)) >= FILE
    limited(12, "delete_tree", tree)
    assert not tree.exists()


def test_odd_names_modes_and_kinds_are_deleted(tree: Path) -> None:
    (tree / "sub" / "subsub").mkdir(parents=True)
    (tree / "sub" / "subsub" / "file").write_text("x")
    os.mkfifo(tree / "pipe")
    (Path(os.fsdecode(bytes(tree) + b"/\xff\xfe\n"))).write_text("y")
    (Path(os.fsdecode(bytes(tree) + b"/sub/\xff"))).mkdir()
    (tree / "sub" / "subsub").chmod(0)
    (tree / "sub").chmod(0o500)
    delete_tree(tree)
    assert not tree.exists()
    delete_tree(tree)


def test_closed_folders_are_measured_left_as_they_were_and_deleted() -> None:
    with public_folder() as folder:
        folder.chmod(0o777)
        # Root may enter every folder.
        with as_nobody() if os.getuid() == 0 else nullcontext():
            closed = folder / "run"
            (closed / "a" / "b").mkdir(parents=True)
            (closed / "a" / "b" / "file").write_bytes(b"x" * FILE)
            for path, mode in ((closed / "a" / "b", 0), (closed / "a", 0o200), (closed, 0o400)):
                path.chmod(mode)
            assert size_of(closed) >= FILE
            assert closed.stat().st_mode & 0o777 == 0o400
            delete_tree(closed)
            assert not closed.exists()


def test_what_links_lead_to_is_neither_measured_nor_deleted(tree: Path, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir(mode=0o500)
    gold = tmp_path / "gold"
    gold.write_bytes(b"x" * FILE * 10)
    for name, target in (("folder", treasure), ("file", gold), ("loop", tree), ("nothing", tmp_path / "none")):
        (tree / name).symlink_to(target)
    assert size_of(tree) < FILE * 10
    delete_tree(tree)
    assert (treasure.stat().st_mode & 0o777, gold.stat().st_size) == (0o500, FILE * 10)
    (tmp_path / "link").symlink_to(treasure)
    delete_tree(tmp_path / "link")
    assert (treasure.is_dir(), (tmp_path / "link").is_symlink()) == (True, False)
    (tmp_path / "away").symlink_to(tmp_path / "ä run")
    tree.mkdir()
    with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
        delete_tree(tmp_path / "away" / "tree")
    assert tree.is_dir()


def test_a_file_counts_once_for_all_its_names_and_not_with_its_holes(tree: Path) -> None:
    (tree / "file").write_bytes(b"x" * 100_000)
    for number in range(20):
        os.link(tree / "file", tree / str(number))
    with (tree / "hole").open("wb") as file:
        file.truncate(1 << 40)
    assert 100_000 <= size_of(tree) < 200_000


def test_a_folder_with_very_many_entries_is_deleted_with_bounded_memory(tree: Path) -> None:
    folder = os.open(tree, os.O_RDONLY)
    for number in range(3_000):
        os.mkdir(f"d{number}", dir_fd=folder)
        os.close(os.open(f"f{number}", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder))
    os.close(folder)
    delete_tree(tree)
    assert not tree.exists()


def test_what_another_file_system_holds_is_not_touched(tree: Path) -> None:
    with small_disk(tree / "mnt") as disk:
        (disk / "kept").write_bytes(b"x" * FILE)
        assert size_of(tree) < FILE
        with pytest.raises(OSError, match="busy"):
            delete_tree(tree)
        assert (disk / "kept").stat().st_size == FILE


@needs("mount", "umount")
def test_a_folder_that_is_bound_there_from_elsewhere_is_not_emptied(tree: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("x")
    bound = tree / "run"
    bound.mkdir()
    mount, umount = shutil.which("mount") or "", shutil.which("umount") or ""
    if os.getuid() or subprocess.run([mount, "--bind", elsewhere, bound], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        for folder in (bound, tree):
            with pytest.raises(OSError, match=r"mounted there|busy"):
                delete_tree(folder)
    finally:
        subprocess.run([umount, "--lazy", str(bound)], capture_output=True, check=True)
    assert (elsewhere / "kept").read_text() == "x"
