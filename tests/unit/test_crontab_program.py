"""What the programs `crontab` say, and the blocks in a crontab."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import CrontabUnusable
from install import crontab_blocks, units
from install.crontab_program import exists, fix_for, read_crontab, says_none

NONE = [
    "no crontab for ana",
    "crontab: no crontab for ana",
    "-bash: crontab: no crontab for ana",
    "No crontab for 'ana'",
    "crontab: can't open 'ana': No such file or directory",
    "crontab: can't open 'user': No such file or directory",
    "crontab: can't open '/var/spool/cron/crontabs/ana': No such file or directory",
    "crontab: /var/spool/cron/crontabs/ana: No such file or directory",
    "22:01:02 INFO user ana has no fcrontab.",
    "bcrontab: Crontab does not exist",
    "crontab: can't open your crontab file.",
    "0481-103 Cannot open a file in the /var/spool/cron/crontabs directory.",
    "warning: something else\nno crontab for ana",
]
ERRORS = [
    ("You (ana) are not allowed to use this program (crontab)", "cron.allow"),
    ("crontab: can't change directory to '/var/spool/cron/crontabs': No such file or directory", "Make the folder"),
    ("crontab: must be suid to work properly", "set-user-ID"),
    ("/var/spool/cron/: mkstemp: Permission denied", "set-user-ID"),
    ("crontab: can't open 'ana': Permission denied", "set-user-ID"),
    ("Authentication service cannot retrieve authentication info", "account"),
    ("crontab: fatal: Could not connect to bcron-spool", "bcron"),
    ("crontab: No space left on device", "Make room"),
    ("Segmentation fault", "see crontab(1)"),
    ("", "see crontab(1)"),
]


def put(folder: Path, script: str) -> dict[str, str]:
    """A program `crontab` that runs this script; the environment in which it is found."""
    program = folder / "crontab"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.defpath}"}


@pytest.mark.parametrize("message", NONE)
def test_every_programs_words_for_an_empty_crontab_are_known(message: str) -> None:
    assert says_none(message)


@pytest.mark.parametrize(("message", "told"), ERRORS)
def test_a_real_error_stays_one_and_its_fix_is_not_the_command_that_failed(message: str, told: str) -> None:
    assert not says_none(message)
    fix = fix_for(message)
    assert told in fix
    assert "install-systemd" in fix
    assert "install-crontab" not in fix


@pytest.mark.parametrize("stream", ["1", "2"])
def test_an_empty_crontab_may_be_told_on_either_stream_and_in_english_only(tmp_path: Path, stream: str) -> None:
    script = f'[ "$LC_ALL" = C ] && echo "no crontab for me" >&{stream} || echo "kein crontab für mich" >&2; exit 1'
    environ = put(tmp_path, script)
    assert read_crontab({**environ, "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}) == ""


def test_a_program_that_fails_is_told_in_its_words(tmp_path: Path) -> None:
    environ = put(tmp_path, "echo 'You (me) are not allowed to use this program' >&2; exit 1")
    with pytest.raises(CrontabUnusable, match="not allowed") as raised:
        read_crontab(environ)
    assert "cron.allow" in raised.value.hint
    with pytest.raises(CrontabUnusable, match="said nothing"):
        read_crontab(put(tmp_path, "exit 1"))


def test_a_missing_program_is_told_without_an_errno() -> None:
    environ = {"PATH": "/nonexistent"}
    assert not exists(environ)
    with pytest.raises(CrontabUnusable) as raised:
        read_crontab(environ)
    assert "Errno" not in raised.value.message
    assert "install-systemd" in raised.value.hint


# --- blocks ---

GONE = "/nonexistent/puruto-cron"
HERE = str(Path(__file__).resolve().parents[2])


def block(root: str, database: str = "") -> str:
    return units.block(units.Copy(root, "/p", "/l", database=database))


def test_a_block_names_its_folder_and_its_database() -> None:
    text = f"0 3 * * * x\n{block(GONE, 'abc')}{block('/a b')}"
    first, second = crontab_blocks.blocks(text)
    assert (first.root, first.database, first.first, first.last) == (GONE, "abc", 2, 5)
    assert (second.root, second.database, second.lines) == ("/a b", "", tuple(units.lines_of(units.Copy("/a b", "/p", "/l"))))  # noqa: E501  # fmt: skip
    assert crontab_blocks.own_database(text, GONE) == "abc"
    assert crontab_blocks.without(text, [GONE, "/a b"]) == "0 3 * * * x\n"


def test_only_a_block_of_this_database_whose_folder_is_gone_is_ours() -> None:
    text = f"{block(GONE, 'abc')}{block('/nonexistent/other', 'xyz')}{block('/nonexistent/old')}{block(HERE, 'abc')}"
    assert [one.root for one in crontab_blocks.moved(text, "/new", "abc")] == [GONE]
    assert [one.root for one in crontab_blocks.left_behind(text, "/new")] == [
        GONE, "/nonexistent/other", "/nonexistent/old",
    ]  # fmt: skip
    assert crontab_blocks.moved(text, "/new", "") == []
    assert crontab_blocks.moved(text, GONE, "abc") == [], "its own block is replaced anyway"


def test_a_block_without_its_end_is_none() -> None:
    broken = block(GONE, "abc").rpartition("# <<<")[0]
    assert crontab_blocks.blocks(broken + block(HERE)) == crontab_blocks.blocks("\n" * broken.count("\n") + block(HERE))
