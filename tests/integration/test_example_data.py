"""examples/purutos/puruto-data: the real `invoke` on a copy of its folder, and real archives that are opened again."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support_examples import (
    BAD_REQUESTS,
    PURUTOS,
    Answer,
    ask,
    ask_raw,
    copy_of,
    environment,
    finish,
    module,
    request,
    start,
)
from tests.workspace import PATIENCE

archive = module("puruto-data", "data_archive")
backup = module("puruto-data", "data_backup")
protocol = module("puruto-data", "data_protocol")

NOON = datetime(2026, 2, 25, 12, 0, 0, tzinfo=UTC)
NAME = "puruto-data-20260225T120000Z"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return copy_of("puruto-data", tmp_path)


def back_up(home: Path, **changes: object) -> dict[str, Any]:
    return ask(home, **{"action": "backup", **changes}).result


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Every path below `folder`: a file's bytes, a link's target, None for a folder."""
    found: dict[str, bytes | str | None] = {}
    for here, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(here, name)
            value = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
            found[str(path.relative_to(folder))] = value
    return found


def unpacked(path: Path, into: Path) -> dict[str, bytes | str | None]:
    """What an archive gives back, without its manifest; made by tarfile, not by the code under test."""
    with tarfile.open(path) as tar:
        # The argument `filter` is younger than the 3.11 of some systems.
        tar.extraction_filter = lambda member, _path: member
        tar.extractall(into)
    (into / "MANIFEST.sha256").unlink()
    return tree(into)


def saved(home: Path) -> dict[str, bytes | str | None]:
    """What a backup of `home` has to give back."""
    below = {f"shared/{name}": value for name, value in tree(home / "shared").items()}
    return {"registry.json": (home / "registry.json").read_bytes(), "shared": None, **below}


def names(home: Path) -> list[str]:
    """What is in backups/, the lock left out."""
    return sorted(name for name in os.listdir(home / "backups") if name != ".lock")


def write_to(path: Path, folder: Path, moment: datetime = NOON) -> Any:
    """An archive of `folder` at `path`, and what the writer says that it wrote."""
    with path.open("wb") as raw:
        return archive.write_archive(folder, raw, int(moment.timestamp()))


class Meddler(io.BytesIO):
    """A file to write an archive to that calls `meddle` once, as soon as `after` bytes have arrived."""

    def __init__(self, after: int, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._after = after
        self._meddle: Callable[[], object] | None = meddle

    def write(self, data: Any) -> int:
        done = super().write(data)
        if self._meddle and self.tell() >= self._after:
            meddle, self._meddle = self._meddle, None
            meddle()
        return done


# --- the backup -------------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize("action", ["run", "backup"])
def test_a_backup_gives_back_exactly_what_was_there(home: Path, tmp_path: Path, action: str) -> None:
    result = ask(home, action=action, prompt="Haz una copia de los datos").result
    path = home / "backups" / result["archive"]

    assert names(home) == [result["archive"]]
    assert unpacked(path, tmp_path / "restored") == saved(home)
    assert result["path"] == str(path)
    assert result["bytes"] == path.stat().st_size
    assert result["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (result["files"], result["folders"], result["links"]) == (5, 3, 0)
    assert (result["keep"], result["kept"], result["removed"]) == (7, 1, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for key in ("warnings", "changed", "vanished", "unreadable", "special"):
        assert result[key] == []


@pytest.mark.process
def test_the_archive_is_named_for_the_utc_time_of_the_backup(home: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    name = back_up(home)["archive"]
    made = datetime.strptime(name, "puruto-data-%Y%m%dT%H%M%SZ.tar.gz").replace(tzinfo=UTC)
    assert before <= made <= datetime.now(UTC)


@pytest.mark.process
def test_the_programs_of_any_linux_restore_and_check_an_archive(home: Path, tmp_path: Path) -> None:
    if not (shutil.which("tar") and shutil.which("sha256sum")):
        pytest.skip("needs tar and sha256sum")
    (home / "shared" / "a\\b\nc d.txt").write_text("a name that sha256sum has to escape")
    path = back_up(home)["path"]
    subprocess.run(["tar", "-xzf", path, "-C", tmp_path], check=True)
    checked = subprocess.run(["sha256sum", "-c", "MANIFEST.sha256"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert len(checked.stdout.splitlines()) == 6


@pytest.mark.process
def test_names_and_contents_of_every_kind_come_back(home: Path, tmp_path: Path) -> None:
    shared = home / "shared"
    (shared / "empty folder").mkdir()
    (shared / "empty").touch()
    (shared / "large.bin").write_bytes(os.urandom(3_000_000))
    (shared / ("long " * 45)).mkdir()
    (shared / ("long " * 45) / ("n" * 250)).write_text("a path of more than 256 characters")
    (shared / "line\nfeed").write_text("x")
    Path(os.fsdecode(os.fsencode(shared) + b"/ni\xf1o.txt")).write_text("a name that is not UTF-8")
    os.utime(shared / "empty", (0, -86_400))
    result = back_up(home)
    assert unpacked(Path(result["path"]), tmp_path / "restored") == saved(home)
    assert (tmp_path / "restored/shared/empty").stat().st_mtime == -86_400


folder_names = st.text("ab .ñ\\'\"\n-", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.lists(folder_names, min_size=1, max_size=4).map(tuple), st.binary(max_size=3000)))
def test_any_tree_comes_back_and_is_verified(files: dict[tuple[str, ...], bytes]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch, "home")
        (home / "shared").mkdir(parents=True)
        (home / "registry.json").write_text("{}")
        for parts, content in files.items():
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                path = home.joinpath("shared", *parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        made = backup.back_up(home, 7, lambda: NOON)
        assert unpacked(made.path, Path(scratch, "restored")) == saved(home)
        digests = {one.name: one.sha256 for one in made.written.entries if one.kind == "file"}
        for name, value in saved(home).items():
            if isinstance(value, bytes):
                assert digests[name] == hashlib.sha256(value).hexdigest()


def test_backups_in_the_same_second_get_numbers(home: Path) -> None:
    made = [backup.back_up(home, 7, lambda: NOON).path.name for _ in range(3)]
    assert made == [f"{NAME}.tar.gz", f"{NAME}-2.tar.gz", f"{NAME}-3.tar.gz"]
    assert names(home) == sorted(made)


def test_the_same_content_at_the_same_time_makes_the_same_archive(home: Path) -> None:
    first, second = (backup.back_up(home, 7, lambda: NOON) for _ in range(2))
    assert first.path.read_bytes() == second.path.read_bytes()


@pytest.mark.process
def test_the_result_says_what_changed_since_the_backup_before(home: Path) -> None:
    shared = home / "shared"
    first = back_up(home, prompt="Haz una copia de los datos")
    assert first["since_previous"] is None
    assert "Es la primera copia." in first["summary"]
    second = back_up(home, prompt="Haz una copia de los datos")
    assert second["since_previous"] == {"archive": first["archive"], "added": 0, "changed": 0, "removed": 0}
    assert "Nada ha cambiado desde la anterior." in second["summary"]
    (shared / "new.txt").write_text("x")
    (shared / "other.txt").write_text("y")
    (shared / "budget.json").write_text("{}")
    (shared / "notes" / "household.md").unlink()
    third = back_up(home, prompt="Haz una copia de los datos", payload={"keep": 1})
    assert third["since_previous"] == {"archive": second["archive"], "added": 2, "changed": 1, "removed": 1}
    assert "nuevos 2, cambiados 1, borrados 1" in third["summary"]


@pytest.mark.process
def test_a_damaged_older_archive_is_told_and_does_not_stop_the_next(home: Path) -> None:
    path = Path(back_up(home)["path"])
    path.write_bytes(path.read_bytes()[:200])
    result = back_up(home)
    assert result["since_previous"] is None
    assert result["warnings"] == [f"the backup before this one, {path.name}, is damaged"]
    assert "It is the first one" not in result["summary"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("prompt", "language", "start_of_summary"),
    [
        ("Copia de seguridad diaria de los datos", "es", "Copia hecha y comprobada: puruto-data-"),
        ("Back up the shared data", "en", "Backup made and verified: puruto-data-"),
        ("", "en", "Backup made and verified: puruto-data-"),
    ],
)
def test_the_summary_speaks_the_language_of_the_prompt(
    home: Path, prompt: str, language: str, start_of_summary: str
) -> None:
    result = back_up(home, prompt=prompt)
    assert result["language"] == language
    assert result["summary"].startswith(start_of_summary)
    assert result["archive"] in result["summary"]


# --- links, and things that are not files -----------------------------------------------------------------------------


@pytest.mark.process
def test_links_are_saved_as_links_and_never_followed(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("must not be in any archive")
    shared = home / "shared"
    (shared / "to a folder").symlink_to(outside)
    (shared / "to a file").symlink_to(outside / "secret.txt")
    (shared / "to nothing").symlink_to("nowhere")
    (shared / "to itself").symlink_to("to itself")
    (shared / "up").symlink_to("..")
    result = back_up(home)
    content = gzip.decompress(Path(result["path"]).read_bytes())
    assert b"must not be in any archive" not in content
    assert unpacked(Path(result["path"]), tmp_path / "restored") == saved(home)
    assert (result["links"], result["files"], result["warnings"]) == (5, 5, [])


def test_a_folder_that_becomes_a_link_during_the_walk_is_not_followed(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("must not be in any archive")
    shared = home / "shared"
    (shared / "a.bin").write_bytes(os.urandom(2_000_000))
    (shared / "folder").mkdir()

    def swap() -> None:
        (shared / "folder").rmdir()
        (shared / "folder").symlink_to(outside)

    raw = Meddler(500_000, swap)
    written = archive.write_archive(home, raw, 0)
    assert b"must not be in any archive" not in gzip.decompress(raw.getvalue())
    assert [entry.target for entry in written.entries if entry.name == "shared/folder"] == [str(outside)]


@pytest.mark.parametrize("name", ["folder", "file"])
def test_what_becomes_a_link_between_looking_and_opening_is_not_followed_either(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("must not be in any archive")
    (home / "shared" / "folder").mkdir()
    (home / "shared" / "file").write_text("harmless")
    look = archive._look

    def look_and_swap(parent: int, base: str) -> os.stat_result:
        found: os.stat_result = look(parent, base)
        if base == name:
            (home / "shared" / name).rename(home / "moved")
            (home / "shared" / name).symlink_to(outside if name == "folder" else outside / "secret.txt")
        return found

    monkeypatch.setattr(archive, "_look", look_and_swap)
    path = tmp_path / "archive.tar.gz"
    written = write_to(path, home)
    assert b"must not be in any archive" not in gzip.decompress(path.read_bytes())
    assert [text.split(":")[0] for text in written.notes.unreadable] == [f"shared/{name}"]


@pytest.mark.process
def test_pipes_and_sockets_are_left_out_and_named(home: Path) -> None:
    os.mkfifo(home / "shared" / "pipe")
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(home / "shared"):
        server.bind("socket")
        result = back_up(home)
    assert result["special"] == ["shared/pipe", "shared/socket"]
    assert result["warnings"] == ["not files, and not saved: shared/pipe, shared/socket"]
    assert result["files"] == 5


# --- files that move while they are read ------------------------------------------------------------------------------


def meddled(home: Path, tmp_path: Path, meddle: Callable[[], object]) -> Any:
    """Write an archive while `meddle` happens in the middle of shared/a.bin, and verify it."""
    (home / "shared" / "a.bin").write_bytes(os.urandom(2_000_000))
    raw = Meddler(500_000, meddle)
    written = archive.write_archive(home, raw, 0)
    path = tmp_path / "written.tar.gz"
    path.write_bytes(raw.getvalue())
    archive.verify_archive(path, written)
    return written


def test_a_file_that_grows_while_it_is_read_is_reported(home: Path, tmp_path: Path) -> None:
    def grow() -> None:
        with (home / "shared" / "a.bin").open("ab") as stream:
            stream.write(b"more")

    written = meddled(home, tmp_path, grow)
    assert written.notes.changed == ["shared/a.bin"]
    assert next(entry.size for entry in written.entries if entry.name == "shared/a.bin") == 2_000_000


def test_a_file_that_shrinks_while_it_is_read_is_reported_and_padded(home: Path, tmp_path: Path) -> None:
    written = meddled(home, tmp_path, lambda: os.truncate(home / "shared" / "a.bin", 10))
    assert written.notes.changed == ["shared/a.bin"]
    with tarfile.open(tmp_path / "written.tar.gz") as tar:
        stream = tar.extractfile("shared/a.bin")
        assert stream is not None
        content = stream.read()
    assert len(content) == 2_000_000
    assert content.endswith(bytes(1_000_000))


def test_a_file_that_is_rewritten_with_the_same_size_is_reported(home: Path, tmp_path: Path) -> None:
    def rewrite() -> None:
        (home / "shared" / "a.bin").write_bytes(os.urandom(2_000_000))
        os.utime(home / "shared" / "a.bin", (1, 1))

    assert meddled(home, tmp_path, rewrite).notes.changed == ["shared/a.bin"]


def test_a_file_that_is_replaced_while_it_is_read_is_reported(home: Path, tmp_path: Path) -> None:
    def replace() -> None:
        new, old = home / "shared" / "new", home / "shared" / "a.bin"
        new.write_bytes(os.urandom(2_000_000))
        os.utime(new, ns=(0, old.stat().st_mtime_ns))
        new.rename(old)

    assert meddled(home, tmp_path, replace).notes.changed == ["shared/a.bin"]


def test_files_that_vanish_are_reported_whether_or_not_they_were_open(home: Path, tmp_path: Path) -> None:
    def remove() -> None:
        (home / "shared" / "a.bin").unlink()
        (home / "shared" / "contacts.csv").unlink()
        shutil.rmtree(home / "shared" / "notes")

    notes = meddled(home, tmp_path, remove).notes
    assert notes.vanished == ["shared/a.bin", "shared/contacts.csv", "shared/notes"]
    assert (notes.changed, notes.unreadable) == ([], [])


def test_what_nobody_touched_is_not_reported(home: Path, tmp_path: Path) -> None:
    notes = meddled(home, tmp_path, lambda: None).notes
    assert (notes.changed, notes.vanished, notes.unreadable, notes.special) == ([], [], [], [])


@pytest.mark.process
def test_too_many_levels_are_reported_as_unreadable_and_the_rest_is_saved(home: Path) -> None:
    with contextlib.chdir(home / "shared"):
        for _ in range(260):
            os.mkdir("d")
            os.chdir("d")
    error = ask(home, action="backup").error
    assert error["code"] == "BACKUP_INCOMPLETE"
    assert error["details"]["files"] == 5
    assert "more than 200 folders deep" in error["details"]["unreadable"][0]


# --- verification -----------------------------------------------------------------------------------------------------


def test_every_flipped_byte_and_every_truncation_is_caught(home: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.tar.gz"
    written = write_to(good, home)
    archive.verify_archive(good, written)
    content = good.read_bytes()
    bad = tmp_path / "bad.tar.gz"
    for place in range(len(content)):
        bad.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(archive.Damaged, match="SHA-256"):
            archive.verify_archive(bad, written)
    for length in (0, 1, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:length])
        with pytest.raises(archive.Damaged, match=f"has {length} bytes instead of {len(content)}"):
            archive.verify_archive(bad, written)
    bad.write_bytes(content + b"\0")
    with pytest.raises(archive.Damaged, match="bytes instead of"):
        archive.verify_archive(bad, written)


def repacked(path: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> None:
    """Write the archive again with `change` made to each member (None drops it), sound in itself."""
    members = []
    with tarfile.open(path) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            members.append((member, stream.read() if stream else b""))
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            changed = change(member, content)
            if changed is not None:
                tar.addfile(changed[0], io.BytesIO(changed[1]))


def drop(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes] | None:
    return None if member.name == "shared/budget.json" else (member, content)


def flip(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, content[:-1] + b"!" if member.name == "shared/budget.json" else content


def shorten(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if member.name == "shared/budget.json":
        member.size, content = 3, content[:3]
    return member, content


def rename(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if member.name == "shared/budget.json":
        member.name = "shared/other.json"
    return member, content


def retarget(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if member.issym():
        member.linkname = "/etc/passwd"
    return member, content


def retype(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if member.issym():
        member.type = tarfile.LNKTYPE
    return member, content


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (drop, ["shared/budget.json is not in the archive"]),
        (flip, ["shared/budget.json: sha256 is "]),
        (shorten, ["shared/budget.json: size is 3 instead of ", "shared/budget.json: sha256 is "]),
        (rename, ["shared/budget.json is not in the archive", "shared/other.json should not be in the archive"]),
        (retarget, ["shared/link: target is '/etc/passwd' instead of 'budget.json'"]),
        (retype, ["shared/link: kind is 'other' instead of 'link'", "shared/link: target is "]),
    ],
)
def test_an_archive_that_is_sound_but_holds_something_else_is_caught_member_by_member(
    home: Path, tmp_path: Path, change: Any, problems: list[str]
) -> None:
    (home / "shared" / "link").symlink_to("budget.json")
    path = tmp_path / "archive.tar.gz"
    written = write_to(path, home)
    repacked(path, change)
    content = path.read_bytes()
    claimed = archive.Written(hashlib.sha256(content).hexdigest(), len(content), written.entries, written.notes)
    with pytest.raises(archive.Damaged) as caught:
        archive.verify_archive(path, claimed)
    assert len(caught.value.problems) == len(problems)
    for told, expected in zip(caught.value.problems, problems, strict=True):
        assert told.startswith(expected)


def test_a_repacked_archive_with_the_same_members_passes(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive.tar.gz"
    written = write_to(path, home)
    repacked(path, lambda member, content: (member, content))
    content = path.read_bytes()
    archive.verify_archive(
        path, archive.Written(hashlib.sha256(content).hexdigest(), len(content), written.entries, written.notes)
    )


def test_a_member_that_is_there_twice_is_caught(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive.tar.gz"
    written = write_to(path, home)
    plain = gzip.decompress(path.read_bytes())
    doubled = plain[:1024] + plain
    assert plain[:13] == b"registry.json"
    path.write_bytes(gzip.compress(doubled))
    content = path.read_bytes()
    claimed = archive.Written(hashlib.sha256(content).hexdigest(), len(content), written.entries, written.notes)
    with pytest.raises(archive.Damaged, match="members instead of"):
        archive.verify_archive(path, claimed)


def test_an_archive_that_arrives_damaged_is_thrown_away_and_no_older_one_is_deleted(home: Path) -> None:
    older = [backup.back_up(home, 7, lambda: NOON).path for _ in range(2)]
    contents = [path.read_bytes() for path in older]

    def damage_then_verify(path: Path, written: Any) -> None:
        with path.open("r+b") as stream:
            stream.seek(100)
            byte = stream.read(1)[0]
            stream.seek(100)
            stream.write(bytes([byte ^ 64]))
        archive.verify_archive(path, written)

    with pytest.raises(protocol.Refused) as caught:
        backup.back_up(home, 1, lambda: NOON, damage_then_verify)
    assert caught.value.code == "ARCHIVE_DAMAGED"
    assert caught.value.details["problems"] == [
        "the archive's SHA-256 is not that of the bytes that were written",
    ]
    assert names(home) == sorted(path.name for path in older)
    assert [path.read_bytes() for path in older] == contents


# --- keeping the last N -----------------------------------------------------------------------------------------------


@pytest.mark.process
def test_the_last_seven_are_kept_by_default(home: Path) -> None:
    made = [back_up(home) for _ in range(9)]
    assert [one["kept"] for one in made] == [1, 2, 3, 4, 5, 6, 7, 7, 7]
    assert [one["removed"] for one in made[7:]] == [[made[0]["archive"]], [made[1]["archive"]]]
    assert set(names(home)) == {one["archive"] for one in made[2:]}


@pytest.mark.process
def test_payload_keep_beats_the_environment_which_beats_the_default(home: Path) -> None:
    env = environment(PURUTO_DATA_KEEP="3")
    for _ in range(5):
        ask(home, env, action="backup")
    assert len(names(home)) == 3
    result = ask(home, env, action="backup", payload={"keep": 2}, prompt="Haz copia de los datos").result
    assert (result["keep"], result["kept"], len(result["removed"])) == (2, 2, 2)
    assert "se han borrado 2 antiguas" in result["summary"]
    assert len(names(home)) == 2
    assert ask(home, environment(PURUTO_DATA_KEEP=""), action="backup").result["keep"] == 7


@pytest.mark.process
@pytest.mark.parametrize("keep", [0, -1, 1001, 2.0, "3", True, [], {}])
def test_a_wrong_payload_keep_is_refused_before_anything_is_written(home: Path, keep: object) -> None:
    error = ask(home, action="backup", payload={"keep": keep}).error
    assert error["code"] == "INVALID_REQUEST"
    assert error["message"] == "payload.keep must be a whole number from 1 to 1000"
    assert not (home / "backups").exists()


@pytest.mark.process
@pytest.mark.parametrize("keep", ["0", "-1", "1001", "99999999999999999999", "2.5", "many", "1_0", "\u0663"])
def test_a_wrong_keep_in_the_environment_is_refused_before_anything_is_written(home: Path, keep: str) -> None:
    error = ask(home, environment(PURUTO_DATA_KEEP=keep), action="backup").error
    assert error["code"] == "SETTINGS_INVALID"
    assert error["message"] == "PURUTO_DATA_KEEP must be a whole number from 1 to 1000"
    assert not (home / "backups").exists()


@pytest.mark.process
def test_only_archives_of_ours_are_ever_deleted(home: Path) -> None:
    back_up(home)
    folder = home / "backups"
    others = ["puruto-data-20200101T000000Z.tar.gz.asc", "puruto-data-notes.tar.gz", "puruto-data-2020Z.tar.gz", "x"]
    for name in others:
        (folder / name).write_text("mine")
    (folder / "puruto-data-20200101T000000Z.tar.gz").mkdir()
    (folder / "puruto-data-20200102T000000Z.tar.gz").symlink_to(folder / "x")
    result = back_up(home, payload={"keep": 1})
    assert len(result["removed"]) == 1
    kept = ["puruto-data-20200101T000000Z.tar.gz", "puruto-data-20200102T000000Z.tar.gz", result["archive"]]
    assert names(home) == sorted(others + kept)


def test_the_archive_just_made_stays_even_if_the_clock_went_back(home: Path) -> None:
    def make(year: int, keep: int) -> Any:
        return backup.back_up(home, keep, lambda: NOON.replace(year=year))

    for year in (2026, 2027, 2028):
        make(year, 7)
    late = make(2020, 2)
    assert late.path.name == "puruto-data-20200225T120000Z.tar.gz"
    assert late.removed == ("puruto-data-20270225T120000Z.tar.gz", "puruto-data-20260225T120000Z.tar.gz")
    assert names(home) == ["puruto-data-20200225T120000Z.tar.gz", "puruto-data-20280225T120000Z.tar.gz"]


def test_numbers_within_a_second_count_as_numbers(home: Path) -> None:
    made = [backup.back_up(home, 100, lambda: NOON).path.name for _ in range(11)]
    last = backup.back_up(home, 3, lambda: NOON)
    assert last.path.name == f"{NAME}-12.tar.gz"
    assert set(names(home)) == {last.path.name, *made[-2:]}


# --- two at once ------------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_backups_at_the_same_moment_all_succeed_and_do_not_hurt_each_other(home: Path, tmp_path: Path) -> None:
    (home / "shared" / "large.bin").write_bytes(os.urandom(1_000_000))
    raw = json.dumps(request(action="backup")).encode()
    running = [start([home / "invoke"]) for _ in range(8)]
    results = [finish(process, raw).result for process in running]
    made = [result["archive"] for result in results]
    assert len(set(made)) == 8
    assert set(names(home)) <= set(made)
    assert len(names(home)) == 7
    for number, name in enumerate(names(home)):
        assert unpacked(home / "backups" / name, tmp_path / f"restored-{number}") == saved(home)
    assert [name for result in results for name in result["removed"]] == list(set(made) - set(names(home)))


@pytest.mark.process
def test_a_second_backup_waits_for_the_first_and_says_so(home: Path) -> None:
    (home / "backups").mkdir()
    with (home / "backups" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start([home / "invoke"])
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(request(action="backup")).encode())
        process.stdin.close()
        process.stdin = None
        told = process.stderr.readline()
        wait_for(lambda: waits_for_a_lock(process.pid) or process.poll() is not None)
        assert process.poll() is None
        assert names(home) == []
    answer = finish(process, b"")
    assert told == b"another backup is running; waiting for its end\n"
    assert names(home) == [answer.result["archive"]]


@pytest.mark.process
def test_a_backup_that_is_told_to_end_leaves_nothing_behind(home: Path) -> None:
    back_up(home)
    with (home / "shared" / "endless.bin").open("wb") as stream:
        stream.truncate(1 << 40)
    process = start([home / "invoke"])
    assert process.stdin is not None
    process.stdin.write(json.dumps(request(action="backup")).encode())
    process.stdin.close()
    process.stdin = None
    wait_for(lambda: any(name.startswith(".partial-") for name in names(home)))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + signal.SIGTERM, b"")
    assert b"Traceback" not in err
    assert len(names(home)) == 1


def test_a_signal_that_comes_when_the_file_has_just_been_made_leaves_nothing_behind(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def mkstemp(**where: Any) -> None:
        made.append(mkstemp_itself(**where))
        raise SystemExit(128 + signal.SIGTERM)

    mkstemp_itself = tempfile.mkstemp
    monkeypatch.setattr(backup.tempfile, "mkstemp", mkstemp)
    with pytest.raises(SystemExit):
        backup.back_up(home, 7, lambda: NOON)
    ((descriptor, path),) = made
    os.close(descriptor)
    assert not os.path.exists(path)
    assert names(home) == []


def test_the_next_backup_removes_what_a_killed_one_left(home: Path) -> None:
    (home / "backups").mkdir()
    (home / "backups" / ".partial-abc123").write_bytes(b"half an archive")
    made = back_up(home)["archive"]
    assert names(home) == [made]


def waits_for_a_lock(pid: int) -> bool:
    """Linux lists who waits for a lock; where it does not, the first look at the folder has to do."""
    locks = Path("/proc/locks")
    return not locks.exists() or any(f" {pid} " in line for line in locks.read_text().splitlines() if "->" in line)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


# --- what can go wrong ------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_missing_shared_folder_is_an_error_that_names_it(home: Path) -> None:
    shutil.rmtree(home / "shared")
    error = ask(home, action="backup").error
    assert error["code"] == "SHARED_MISSING"
    assert str(home / "shared") in error["message"]
    assert not (home / "backups").exists()


@pytest.mark.process
def test_shared_must_be_a_folder_and_not_a_link_to_one(home: Path) -> None:
    (home / "shared").rename(home / "elsewhere")
    (home / "shared").symlink_to("elsewhere")
    error = ask(home, action="backup").error
    assert (error["code"], "symbolic link" in error["message"]) == ("SHARED_NOT_A_FOLDER", True)
    (home / "shared").unlink()
    (home / "shared").write_text("a file")
    error = ask(home, action="backup").error
    assert (error["code"], "is not a folder" in error["message"]) == ("SHARED_NOT_A_FOLDER", True)


def test_an_empty_shared_folder_is_a_backup_like_any_other(home: Path, tmp_path: Path) -> None:
    shutil.rmtree(home / "shared")
    (home / "shared").mkdir()
    result = back_up(home)
    assert result["files"] == 1
    assert "1 file." in result["summary"]
    assert unpacked(Path(result["path"]), tmp_path / "restored") == saved(home)


@pytest.mark.process
def test_a_file_in_place_of_the_backups_folder_is_an_error_with_a_hint(home: Path) -> None:
    (home / "backups").write_text("not a folder")
    error = ask(home, action="backup").error
    assert error["code"] == "BACKUP_NOT_WRITTEN"
    assert error["details"]["hint"] == "backups must be a folder"
    assert (home / "backups").read_text() == "not a folder"


@pytest.mark.process
def test_a_write_that_fails_in_the_middle_leaves_only_the_older_archives(home: Path) -> None:
    older = back_up(home)["archive"]
    (home / "shared" / "large.bin").write_bytes(os.urandom(500_000))
    limited = (
        "import os, resource, sys;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = start([sys.executable, "-c", limited, home / "invoke"])
    answer = finish(process, json.dumps(request(action="backup", payload={"keep": 1})).encode())
    assert answer.exit_code == 0
    assert answer.error["code"] == "BACKUP_NOT_WRITTEN"
    assert answer.error["details"]["reason"] == "File too large"
    assert "limit of file sizes" in answer.error["details"]["hint"]
    assert answer.stderr == ""
    assert names(home) == [older]


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """`home` with a file system of 256 kB mounted as backups/."""
    (home / "backups").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(home / "backups")]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    yield home
    subprocess.run(["umount", home / "backups"], check=True)


@pytest.mark.process
def test_a_full_disk_leaves_only_the_older_archives(small_disk: Path) -> None:
    older = back_up(small_disk)["archive"]
    (small_disk / "shared" / "large.bin").write_bytes(os.urandom(500_000))
    error = ask(small_disk, action="backup", payload={"keep": 1}).error
    assert error["code"] == "BACKUP_NOT_WRITTEN"
    assert error["details"]["reason"] == "No space left on device"
    assert error["details"]["hint"] == "free some space, or keep fewer backups"
    assert names(small_disk) == [older]


@pytest.fixture
def humble(home: Path) -> Iterator[tuple[Path, Callable[..., Answer]]]:
    """A copy of the folder, and a way to ask it as a user whom permissions stop (root is stopped by none)."""
    if os.geteuid() != 0:
        yield home, lambda **changes: ask(home, **changes)
        return
    if not Path("/usr/bin/python3").exists():
        pytest.skip("needs a python3 that every user may run")
    folder = Path(tempfile.mkdtemp(prefix="puruto-"))
    folder.chmod(0o755)
    place = Path(shutil.copytree(home, folder / "puruto-data"))
    for path in (place, *place.rglob("*")):
        os.chown(path, 65534, 65534)

    def ask_as_nobody(**changes: object) -> Answer:
        process = subprocess.Popen(
            [place / "invoke"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            user=65534,
            group=65534,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin"},
        )
        return finish(process, json.dumps(request(**changes)).encode())

    yield place, ask_as_nobody
    shutil.rmtree(folder)


def test_a_backups_folder_that_may_not_be_written_is_an_error_with_a_hint(
    humble: tuple[Path, Callable[..., Answer]],
) -> None:
    home, ask_humbly = humble
    (home / "backups").mkdir(mode=0o555)
    error = ask_humbly(action="backup").error
    assert error["code"] == "BACKUP_NOT_WRITTEN"
    assert error["details"] == {
        "folder": str(home / "backups"),
        "reason": "Permission denied",
        "hint": "let this user write into backups/",
    }


@pytest.mark.process
def test_what_may_not_be_read_makes_a_backup_incomplete_and_never_pushes_a_complete_one_out(
    humble: tuple[Path, Callable[..., Answer]],
) -> None:
    home, ask_humbly = humble
    complete = ask_humbly(action="backup").result["archive"]
    (home / "shared" / "budget.json").chmod(0)
    (home / "shared" / "notes" / "2026").chmod(0)
    errors = [ask_humbly(action="backup", payload={"keep": 1}, prompt="Copia de los datos").error for _ in range(2)]
    for error in errors:
        assert error["code"] == "BACKUP_INCOMPLETE"
        assert error["message"].startswith("Copia incompleta: ")
        assert error["details"]["unreadable"] == [
            "shared/budget.json: Permission denied",
            "shared/notes/2026: Permission denied",
        ]
        assert error["details"]["files"] == 3
    last = errors[1]["details"]["archive"]
    assert last.endswith(".incomplete.tar.gz")
    assert errors[1]["details"]["removed"] == [errors[0]["details"]["archive"]]
    assert set(names(home)) == {complete, last}
    with tarfile.open(home / "backups" / last) as tar:
        assert "shared/contacts.csv" in tar.getnames()
        assert "shared/budget.json" not in tar.getnames()


@pytest.mark.process
def test_an_answer_that_nobody_can_read_is_an_exit_code(home: Path) -> None:
    process = start([home / "invoke"])
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(json.dumps(request(action="read")).encode(), timeout=PATIENCE)
    assert process.returncode == 1
    assert err.decode().splitlines()[0] == "the answer can't be printed: Broken pipe"


# --- the registry -----------------------------------------------------------------------------------------------------

BAD_REGISTRIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "registry.json is not JSON: Expecting value at line 1, column 1"),
    "half": (b'{"version": "1",\n', "at line 2, column 1"),
    "not UTF-8": (b'{"version": "\xff"}', "registry.json is not JSON in UTF-8"),
    "a list": (b"[]", "the root must be an object"),
    "another version": (b'{"version": 1, "purutos": []}', 'version must be "1", not 1'),
    "no purutos": (b'{"version": "1"}', "purutos must be a list"),
    "an entry that is a text": (b'{"version": "1", "purutos": ["x"]}', "purutos[0] must be an object"),
    "an entry without a name": (
        b'{"version": "1", "purutos": [{"folder": "x", "registered_at": "2026"}]}',
        "purutos[0].name must be a text",
    ),
    "a name that begins well": (
        b'{"version": "1", "purutos": [{"name": "x/y", "folder": "x", "registered_at": "2026"}]}',
        "purutos[0].name 'x/y' is not the name of a Puruto",
    ),
    "a path as a name": (
        b'{"version": "1", "purutos": [{"name": "../x", "folder": "x", "registered_at": "2026"}]}',
        "purutos[0].name '../x' is not the name of a Puruto",
    ),
    "a path of the wrong type": (
        b'{"version": "1", "purutos": [{"name": "x", "folder": "x", "registered_at": "2026", "path": 1}]}',
        "purutos[0].path must be a text",
    ),
    "a name twice": (
        json.dumps(
            {"version": "1", "purutos": [{"name": "x", "folder": "x", "registered_at": "2026"}] * 2},
        ).encode(),
        "purutos[1].name 'x' is there twice",
    ),
}


@pytest.mark.process
@pytest.mark.parametrize("case", BAD_REGISTRIES)
def test_a_registry_that_is_wrong_is_saved_as_it_is_with_a_warning_and_not_read(home: Path, case: str) -> None:
    content, problem = BAD_REGISTRIES[case]
    (home / "registry.json").write_bytes(content)
    result = back_up(home)
    with tarfile.open(result["path"]) as tar:
        stream = tar.extractfile("registry.json")
        assert stream is not None
        assert stream.read() == content
    assert len(result["warnings"]) == 1
    assert problem in result["warnings"][0]
    assert problem in result["summary"]
    error = ask(home, action="read").error
    assert error["code"] == "REGISTRY_INVALID"
    assert problem in error["message"]


@pytest.mark.process
def test_a_missing_registry_is_a_warning_and_the_rest_is_saved(home: Path, tmp_path: Path) -> None:
    (home / "registry.json").unlink()
    result = back_up(home)
    assert result["warnings"] == ["registry.json is not valid: registry.json is missing"]
    assert result["files"] == 4
    assert "registry.json" not in unpacked(Path(result["path"]), tmp_path / "restored")
    assert ask(home, action="read").error["code"] == "REGISTRY_INVALID"


@pytest.mark.process
def test_a_registry_that_is_a_link_a_folder_or_a_pipe_stops_nothing(home: Path) -> None:
    registry = home / "registry.json"
    registry.rename(home / "real.json")
    registry.symlink_to("real.json")
    assert back_up(home)["warnings"] == ["registry.json is a link: the link was saved, not what it leads to"]
    registry.unlink()
    os.mkfifo(registry)
    result = back_up(home)
    assert result["special"] == ["registry.json"]
    assert "registry.json is not a file" in result["warnings"][0]
    registry.unlink()
    registry.mkdir()
    assert "registry.json is not a file" in back_up(home)["warnings"][0]


def test_read_answers_with_the_registry_and_the_list_of_shared_files(home: Path) -> None:
    (home / "shared" / "link").symlink_to("notes")
    os.utime(home / "shared" / "budget.json", (0, 1_772_049_600))
    result = ask(home, action="read", prompt="Lee registro").result
    assert result["registry"] == json.loads((home / "registry.json").read_bytes())
    assert [entry["name"] for entry in result["registry"]["purutos"]] == [
        "puruto-data",
        "puruto-financial",
        "puruto-telegram",
    ]
    listed = {entry["path"]: entry for entry in result["files"]}
    assert list(listed) == ["budget.json", "contacts.csv", "link", "notes/2026/february.md", "notes/household.md"]
    assert listed["link"] == {"path": "link", "link_to": "notes"}
    size = (home / "shared" / "budget.json").stat().st_size
    assert listed["budget.json"] == {"path": "budget.json", "bytes": size, "modified": "2026-02-25T20:00:00+00:00"}
    total = sum(
        path.stat().st_size for path in (home / "shared").rglob("*") if path.is_file() and not path.is_symlink()
    )
    assert (result["files_total"], result["bytes_total"]) == (5, total)
    assert result["language"] == "es"
    assert result["summary"].startswith("Registro: 3 Purutos (puruto-data, puruto-financial, puruto-telegram).")
    assert not (home / "backups").exists()


def test_read_lists_at_most_500_files_and_says_how_many_there_are(home: Path) -> None:
    for number in range(600):
        (home / "shared" / f"{number:04}").write_text("x")
    result = ask(home, action="read").result
    assert (len(result["files"]), result["files_total"]) == (500, 604)
    assert result["warnings"] == ["only the first 500 of 604 files are listed"]


def test_read_without_a_shared_folder_still_gives_the_registry(home: Path) -> None:
    shutil.rmtree(home / "shared")
    result = ask(home, action="read").result
    assert (result["files"], result["files_total"]) == ([], 0)
    assert result["warnings"] == ["could not be read: shared: No such file or directory"]


# --- requests ---------------------------------------------------------------------------------------------------------


def test_an_unknown_action_names_the_known_ones(home: Path) -> None:
    error = ask(home, action="delete").error
    assert error["code"] == "UNKNOWN_ACTION"
    assert error["message"] == "action 'delete' is not known; known are run, backup, read"
    assert error["details"] == {"known": ["run", "backup", "read"]}
    assert not (home / "backups").exists()


@pytest.mark.process
@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_stdin_is_an_error_result_and_writes_nothing(home: Path, case: str) -> None:
    raw, reason = BAD_REQUESTS[case]
    answer = ask_raw(home, raw)
    assert answer.error["code"] == "INVALID_REQUEST"
    assert reason in answer.error["message"]
    assert not (home / "backups").exists()


@pytest.mark.process
def test_a_refused_request_still_gets_its_own_ids_back(home: Path) -> None:
    raw = b'\xef\xbb\xbf{"request_id": "a\\ud800", "correlation_id": "\xc3\xb1", "action": 7}'
    answer = ask_raw(home, raw)
    assert answer.error["details"] == {"problems": ["action must be a string", "prompt must be a string"]}
    assert (answer.response["request_id"], answer.response["correlation_id"]) == ("a\ud800", "ñ")


def test_the_siblings_speak_one_protocol_and_can_be_started(tmp_path: Path) -> None:
    data, financial = PURUTOS / "puruto-data", PURUTOS / "puruto-financial"
    assert (data / "data_protocol.py").read_text() == (financial / "financial_protocol.py").read_text()
    for invoke in (data / "invoke", financial / "invoke"):
        assert stat.S_IMODE(invoke.stat().st_mode) & 0o111 == 0o111
        assert invoke.read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.process
def test_invoke_may_be_started_through_a_link_from_anywhere(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home / "invoke")
    process = start([tmp_path / "link"])
    answer = finish(process, json.dumps(request(action="backup")).encode())
    assert Path(answer.result["path"]).parent == home / "backups"
