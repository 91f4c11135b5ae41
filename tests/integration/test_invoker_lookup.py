"""What happens before anything starts: the policy file, and where targets are found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.invocation_errors import TargetNotFound
from invocation.policy import Policy, PolicyFile
from invocation.targets import Targets
from tests.support_invocation import Place, error_of, result_of


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def write_policy(place: Place, text: str) -> Path:
    path = place.home / ".puruto-ipc.json"
    path.write_text(text, encoding="utf-8")
    return path


def assert_denied(place: Place, **changes: Any) -> str:
    started: list[object] = []
    outcome = place.invoke(place.invocation(("touch", "ran"), **changes), on_start=started.append)
    code, message, _ = error_of(outcome)
    assert code == "DENIED"
    assert started == []
    assert not (place.target / "ran").exists()
    assert not place.run_folder.exists()
    assert outcome.exit_code is None
    return message


def test_without_a_policy_file_two_hops_are_allowed_and_a_third_starts_nothing(place: Place) -> None:
    result_of(place.run(("true",), hop=2))
    place.run_folder.rename(place.home / "first")
    assert "hop 3 is above max_hops 2" in assert_denied(place, hop=3)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"enabled": False}, "enabled to false"),
        ({"allowed_targets": ["puruto-data"]}, "puruto-x is not in allowed_targets"),
        ({"allowed_actions": {"puruto-x": ["read"]}}, "action 'run' is not allowed"),
        ({"max_hops": 0}, "hop 1 is above max_hops 0"),
    ],
)
def test_what_the_policy_forbids_starts_nothing(place: Place, policy: dict[str, object], reason: str) -> None:
    path = write_policy(place, json.dumps(policy))
    message = assert_denied(place, hop=1)
    assert reason in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("{", "line 1, column 2"),
        ("[]", "must be an object, is a list"),
        ('{"allowed_targets": ["a"], "allowed_targets": []}', "'allowed_targets' occurs twice"),
        ('{"max_hops": NaN}', "NaN"),
        ('{"enabled": "yes"}', "enabled must be true or false, is a string"),
        ("[" * 100_000, "nested"),
        ('{"owner": "' + "x" * 2_000_000 + '"}', "larger than"),
    ],
)
def test_a_broken_policy_file_denies_everything_and_says_what_is_wrong(place: Place, text: str, reason: str) -> None:
    write_policy(place, text)
    assert reason in assert_denied(place)


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling", "loop", "not_utf8"])
def test_a_policy_that_is_no_readable_file_denies_everything(place: Place, kind: str) -> None:
    path = place.home / ".puruto-ipc.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.write_bytes(b'{"owner": "\xff"}')
    assert_denied(place)


def test_the_policy_is_read_anew_for_each_attempt(place: Place) -> None:
    file = PolicyFile(place.home / ".puruto-ipc.json")
    assert file.read() == Policy(path=str(place.home / ".puruto-ipc.json"))
    write_policy(place, '{"max_hops": 7, "default_timeout_sec": 9}')
    assert (file.read().max_hops, file.read().default_timeout_sec) == (7, 9)


class World:
    """A home, and a registry in it."""

    def __init__(self, home: Path) -> None:
        self.home, self.data = home, home / "puruto-data"
        self.data.mkdir()
        self.targets = Targets(home, self.data, home / "any-name")

    def folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir(parents=True)
        return path

    def register(self, *entries: object, **root: object) -> None:
        text = json.dumps({"version": "1", "purutos": list(entries), **root})
        (self.data / "registry.json").write_text(text, encoding="utf-8")

    def missing(self, name: str) -> TargetNotFound:
        with pytest.raises(TargetNotFound) as caught:
            self.targets.resolve(name)
        return caught.value


def test_our_own_name_is_our_own_folder_unless_something_else_has_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.targets.resolve("puruto-cron") == tmp_path / "any-name"
    sibling = world.folder("puruto-cron")
    assert world.targets.resolve("puruto-cron") == sibling
    sibling.rmdir()
    world.register({"name": "puruto-cron", "path": "nowhere"})
    with pytest.raises(TargetNotFound):
        world.targets.resolve("puruto-cron")
    world.folder("any-name")
    hint = world.missing("any-nam").hint
    assert "any-name" not in hint, "our own folder is not meant"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def entry(name: str = "puruto-x", **more: object) -> dict[str, object]:
    return {"name": name, "folder": name, "registered_at": "2026-01-01T00:00:00Z", **more}


def test_without_a_registry_the_sibling_of_that_name_is_the_target(world: World) -> None:
    folder = world.folder("puruto-x")
    assert world.targets.resolve("puruto-x") == folder


def test_an_entry_without_path_means_the_sibling_of_its_folder_name(world: World) -> None:
    world.folder("puruto-x")
    elsewhere = world.folder("x-of-old")
    world.register("junk", None, entry("other"), entry(folder="x-of-old"), entry(folder="puruto-x"))
    assert world.targets.resolve("puruto-x") == elsewhere
    world.register({"name": "puruto-x"})
    assert world.targets.resolve("puruto-x") == world.home / "puruto-x"


def test_a_path_may_be_absolute_relative_to_home_or_start_with_a_tilde(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.folder("puruto-x")
    absolute, relative, tilde = world.folder("a/x"), world.folder("b/x"), world.folder("user/x")
    monkeypatch.setenv("HOME", str(world.home / "user"))
    for path, folder in ((str(absolute), absolute), ("b/x", relative), ("./b/../b/x", relative), ("~/x", tilde)):
        world.register(entry(path=path))
        assert world.targets.resolve("puruto-x").samefile(folder)


def test_a_registered_path_that_leads_nowhere_is_not_replaced_by_the_sibling(world: World) -> None:
    world.folder("puruto-x")
    world.register(entry(path="/none/x"))
    error = world.missing("puruto-x")
    assert error.code == "TARGET_NOT_FOUND"
    assert error.details["looked_at"] == [str(world.data / "registry.json"), "/none/x"]
    assert "/none/x does not exist" in error.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("{", "line 1"),
        ("[]", "must be an object"),
        ("{}", "purutos must be a list, is null"),
        ('{"purutos": {}}', "purutos must be a list, is an object"),
        ('{"purutos": [{"name": "puruto-x", "path": 7}]}', "purutos[0].path must be a path, is a number"),
        ('{"purutos": [{"name": "puruto-x", "path": ""}]}', "purutos[0].path"),
        ('{"purutos": [{"name": "puruto-x", "folder": "../x"}]}', "purutos[0].folder must be a plain name"),
        ('{"purutos": [{"name": "puruto-x", "folder": 7}]}', "purutos[0].folder"),
        ('{"purutos": [{"name": "puruto-x", "path": "~nobody-of-that-name/x"}]}', "unknown user"),
    ],
)
def test_a_broken_registry_falls_back_to_the_sibling_and_is_told_when_that_fails(
    world: World, text: str, reason: str
) -> None:
    (world.data / "registry.json").write_text(text, encoding="utf-8")
    error = world.missing("puruto-x")
    assert reason in str(error.details["registry"])
    assert reason in error.message
    folder = world.folder("puruto-x")
    assert world.targets.resolve("puruto-x") == folder


def test_a_registry_that_is_a_folder_or_lies_in_a_file_falls_back_too(world: World) -> None:
    folder = world.folder("puruto-x")
    (world.data / "registry.json").mkdir()
    assert world.targets.resolve("puruto-x") == folder
    (world.data / "registry.json").rmdir()
    world.data.rmdir()
    world.data.write_text("")
    assert world.targets.resolve("puruto-x") == folder


def test_a_missing_target_names_all_that_was_looked_at(world: World) -> None:
    error = world.missing("puruto-y")
    assert error.details["looked_at"] == [str(world.data / "registry.json"), str(world.home / "puruto-y")]
    assert str(world.home / "puruto-y") in error.message
    assert "registry.json does not exist" in error.message


def test_a_file_in_the_targets_place_is_no_target(world: World) -> None:
    (world.home / "puruto-x").write_text("")
    assert "is not a folder" in world.missing("puruto-x").message


def test_a_missing_target_is_an_outcome_of_the_attempt(place: Place) -> None:
    outcome = place.run(("true",), target="puruto-y")
    code, message, details = error_of(outcome)
    assert code == "TARGET_NOT_FOUND"
    assert details["target"] == "puruto-y"
    assert str(place.home / "puruto-y") in message
    assert not place.run_folder.exists()
