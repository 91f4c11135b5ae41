"""Reading the file with a job's prompt: what is a prompt, and what must not be read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from core.invocation_errors import InvocationError, is_retried
from invocation.prompt_file import read


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "mi púruto"
    (folder / "prompts").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"Do it", "Do it"),
        ("Revisa\r\n\tlos números\n".encode(), "Revisa\r\n\tlos números\n"),
        (b"\xef\xbb\xbfDo it", "Do it"),
        ("ñ".encode() * 100_000, "ñ" * 100_000),
    ],
)
def test_a_file_is_read_whole_and_its_digest_is_that_of_sha256sum(target: Path, data: bytes, text: str) -> None:
    (target / "prompts" / "p.md").write_bytes(data)
    prompt = read(target, "prompts/p.md")
    assert (prompt.text, prompt.sha256) == (text, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "empty"),
        (b" \n\t ", "blank"),
        (b"caf\xe9", "not UTF-8: byte 4"),
        (b"x" * 100_001, "100,001 characters"),
        (b"x" * 400_001, "400,001 bytes"),
        (b"a\x00b", "U+0000 at position 2"),
        (b"\x1b[2J", "U+001B"),
    ],
)
def test_what_is_no_prompt_is_refused_for_good(target: Path, data: bytes, wrong: str) -> None:
    (target / "p.md").write_bytes(data)
    with pytest.raises(InvocationError) as caught:
        read(target, "p.md")
    assert caught.value.code == "PROMPT_FILE_INVALID"
    assert not is_retried(caught.value.code)
    assert wrong in str(caught.value.details["wrong"])


def test_a_huge_file_is_not_read(target: Path) -> None:
    with (target / "p.md").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvocationError) as caught:
        read(target, "p.md")
    assert caught.value.code == "PROMPT_FILE_INVALID"


def test_a_file_that_is_not_there_may_come_yet(target: Path) -> None:
    for name in ("p.md", "nowhere/p.md", "p.md/x"):
        with pytest.raises(InvocationError) as caught:
            read(target, name)
        assert (caught.value.code, caught.value.details["file"]) == ("PROMPT_FILE_MISSING", str(target / name))
        assert is_retried(caught.value.code)


def test_links_may_not_lead_out_of_the_target(target: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "mi púruto 2").mkdir()
    (tmp_path / "mi púruto 2" / "p.md").write_text("secret")
    (target / "out.md").symlink_to(tmp_path / "secret")
    (target / "folder").symlink_to(tmp_path)
    (target / "neighbour").symlink_to(tmp_path / "mi púruto 2")
    for name in ("out.md", "folder/secret", "neighbour/p.md", "../secret", str(tmp_path / "secret"), "prompts/../.."):
        with pytest.raises(InvocationError) as caught:
            read(target, name)
        assert caught.value.code == "PROMPT_FILE_INVALID", name
        assert "outside" in str(caught.value.details["wrong"]) or "not inside" in str(caught.value.details["wrong"])
    (target / "prompts" / "p.md").write_text("Do it")
    (target / "in.md").symlink_to("prompts/p.md")
    assert read(target, "in.md").text == "Do it"
    (tmp_path / "alias").symlink_to(target)
    assert read(tmp_path / "alias", "in.md").text == "Do it", "the target itself may be a link"


def test_a_loop_of_links_a_folder_and_a_pipe_are_no_prompts(target: Path) -> None:
    (target / "loop").symlink_to("loop")
    os.mkfifo(target / "pipe")
    for name, code in (("loop", "PROMPT_FILE_MISSING"), ("prompts", "PROMPT_FILE_INVALID"),
                       ("pipe", "PROMPT_FILE_INVALID")):  # fmt: skip
        with pytest.raises(InvocationError) as caught:
            read(target, name)
        assert caught.value.code == code, name
