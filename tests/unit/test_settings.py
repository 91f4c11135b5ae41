"""Settings from the environment and their defaults; `.env` files are tested in tests/integration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config import settings
from config.settings import VARIABLES, Settings, Variable
from core.errors import NotInPlaceError, SettingsError
from core.invocation import MOST_HOPS
from invocation.policy import PolicyFile
from tests.workspace import PROJECT

#: A folder that does not exist, so that no `.env` is there.
ROOT = Path("/nowhere/purutos/puruto-cron")


def load(**environ: str) -> Settings:
    return settings.load(environ, ROOT)


def problems_of(environ: dict[str, str]) -> list[dict[str, Any]]:
    with pytest.raises(SettingsError) as caught:
        settings.load(environ, ROOT)
    problems = caught.value.details["problems"]
    assert isinstance(problems, list)
    json.dumps(caught.value.as_dict(), ensure_ascii=False).encode()
    return problems


def test_an_empty_environment_gives_the_contracts_defaults() -> None:
    found = load()
    assert (found.root, found.env_file, found.warnings) == (ROOT, None, ())
    assert found.db_path == ROOT / "db/cron.db"
    assert found.data_path == ROOT.parent / "puruto-data"
    assert found.telegram_path == ROOT.parent / "puruto-telegram"
    assert found.telegram_outbox == ROOT.parent / "puruto-telegram/inbox/cron-events.jsonl"
    assert found.home == ROOT.parent
    assert (found.lease_sec, found.max_running, found.kill_grace_sec, found.stale_after_sec) == (120, 4, 5, 300)
    assert (found.timezone, found.auto_sync) == (None, True)


def test_paths_are_shown_in_the_contracts_form() -> None:
    found = load()
    assert found.display("telegram_outbox") == "../puruto-telegram/inbox/cron-events.jsonl"
    assert found.display("local_events") == "notifications/events.jsonl"
    assert found.display("db_path") == "db/cron.db"
    assert found.display("home") == ".."
    assert found.display("jobs_file") == ".jobs.json"


def test_fixed_paths_are_in_the_root() -> None:
    found = load()
    assert found.jobs_file == ROOT / ".jobs.json"
    assert found.local_events == ROOT / "notifications/events.jsonl"
    assert found.runs_folder == ROOT / "runs"


def test_displaying_a_setting_that_is_not_a_path_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load().display("lease_sec")


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.kind == "path"], ids=lambda v: v.name)
def test_each_path_is_taken_from_its_variable_and_from_the_root(variable: Variable) -> None:
    found = load(**{variable.name: "a/../b/c"})
    assert getattr(found, variable.field) == ROOT / "b/c"
    assert found.display(variable.field) == "a/../b/c"
    assert getattr(load(**{variable.name: "/b"}), variable.field) == Path("/b")


@pytest.mark.parametrize(
    ("text", "path"),
    [("~", "/home/eva"), ("~/x", "/home/eva/x"), ("x/~", str(ROOT / "x/~")), ("~root/x", "/root/x")],
)
def test_a_tilde_is_a_home_folder(text: str, path: str) -> None:
    if text.startswith("~root"):
        path = str(Path(text).expanduser())
    found = load(DB_PATH=text, HOME="/home/eva")
    assert (str(found.db_path), found.display("db_path")) == (path, text)


def test_nothing_depends_on_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    here = load(DB_PATH="x.db")
    monkeypatch.chdir("/")
    assert load(DB_PATH="x.db") == here


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.kind == "integer"], ids=lambda v: v.name)
def test_each_number_is_bounded_on_both_sides(variable: Variable) -> None:
    for number in (variable.low, variable.high):
        assert getattr(load(**{variable.name: f" {number} "}), variable.field) == number
    for number in (variable.low - 1, variable.high + 1, -(10**17), 10**17):
        (problem,) = problems_of({variable.name: str(number)})
        assert (problem["code"], problem["variable"]) == ("OUT_OF_RANGE", variable.name)
        assert f"from {variable.low} to {variable.high}" in problem["message"]


def test_the_bounds_are_those_that_were_agreed() -> None:
    bounds = {v.field: (v.low, v.high) for v in VARIABLES if v.kind == "integer"}
    assert bounds == {
        "poll_sec": (1, 3_600),
        "lease_sec": (5, 86_400),
        "max_running": (1, 1_000),
        "kill_grace_sec": (0, 600),
        "stop_sec": (0, 86_400),
        "stale_after_sec": (60, 31_536_000),
        "keep_runs": (1, 10_000_000),
        "keep_days": (1, 36_500),
        "keep_output_mb": (1, 1_000_000_000),
        "events_mb": (1, 1_000_000),
    }


@pytest.mark.parametrize("text", ["x", "1.5", "1e3", "0x10", "1_000", "٣", "12 0", "9" * 5000, "--1", "120s", "½"])
def test_what_is_not_a_whole_number_is_refused(text: str) -> None:
    (problem,) = problems_of({"PURUTO_CRON_LEASE_SECONDS": text})
    assert (problem["code"], problem["source"]) == ("NOT_A_NUMBER", "environment")
    assert problem["text"] == text[:80]
    assert len(problem["message"]) < 250


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("true", True),
        ("YES", True),
        ("On", True),
        ("0", False),
        ("False", False),
        ("no", False),
        ("off", False),
    ],
)
def test_a_switch_is_known_by_several_words(text: str, value: bool) -> None:
    assert load(PURUTO_CRON_AUTO_SYNC=text).auto_sync is value


@pytest.mark.parametrize("text", ["2", "-1", "y", "nope", "truefalse", "1.0"])
def test_any_other_word_is_not_a_switch(text: str) -> None:
    (problem,) = problems_of({"PURUTO_CRON_AUTO_SYNC": text})
    assert (problem["code"], problem["text"]) == ("NOT_A_SWITCH", text)


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_an_empty_value_counts_as_unset(variable: Variable, empty: str) -> None:
    found = load(**{variable.name: empty})
    assert getattr(found, variable.field) == getattr(load(), variable.field)


@pytest.mark.parametrize("text", ["x.jsonl", "a/b/c.jsonl", "inbox/../x.jsonl", "./x", "..x", "a/..b"])
def test_the_outbox_may_lie_anywhere_inside_the_sibling(text: str) -> None:
    found = load(PURUTO_TELEGRAM_OUTBOX_FILE=text)
    assert found.telegram_outbox.is_relative_to(found.telegram_path)
    assert ".." not in found.telegram_outbox.parts


@pytest.mark.parametrize("text", ["/x", "..", "../x", "a/../../x", "~/x", "~", ".", "a/", "a/..", "./", "a/.", "//x"])
def test_the_outbox_may_not_leave_the_sibling_or_be_a_folder(text: str) -> None:
    (problem,) = problems_of({"PURUTO_TELEGRAM_OUTBOX_FILE": text})
    assert (problem["code"], problem["variable"]) == ("BAD_PATH", "PURUTO_TELEGRAM_OUTBOX_FILE")


@pytest.mark.parametrize(
    "variable", [v for v in VARIABLES if v.kind in ("path", "inside", "text")], ids=lambda v: v.name
)
@pytest.mark.parametrize("text", ["a\0b", "a\nb", "a\x1b[0m", "a\udcffb", "a\x7f"])
def test_control_characters_and_broken_bytes_are_refused(variable: Variable, text: str) -> None:
    (problem,) = problems_of({variable.name: text})
    assert (problem["code"], problem["variable"]) == ("BAD_TEXT", variable.name)
    assert problem["text"].isprintable()


def test_a_home_of_an_unknown_user_is_refused() -> None:
    (problem,) = problems_of({"DB_PATH": "~no-such-user-here/x"})
    assert problem["code"] == "BAD_PATH"


def test_a_zone_is_taken_as_it_is_written() -> None:
    assert load(PURUTO_CRON_TIMEZONE="Mars/Olympus").timezone == "Mars/Olympus"


def test_all_faults_are_reported_at_once() -> None:
    environ = {
        "PURUTO_CRON_LEASE_SECONDS": "x",
        "PURUTO_CRON_MAX_RUNNING": "0",
        "DB_PATH": "\0",
        "PURUTO_HOME": "~nix/",
    }
    found = problems_of(environ)
    assert {problem["variable"] for problem in found} == set(environ)


def test_the_message_names_variable_source_text_and_rule() -> None:
    with pytest.raises(SettingsError) as caught:
        load(PURUTO_CRON_LEASE_SECONDS="4")
    assert caught.value.message == (
        'PURUTO_CRON_LEASE_SECONDS (environment) must be a whole number from 5 to 86400; it is "4"'
    )
    assert caught.value.hint == "the default is 120"
    assert (caught.value.code, caught.value.exit_code) == ("SETTINGS_INVALID", 2)


def test_with_several_faults_the_message_counts_them() -> None:
    with pytest.raises(SettingsError, match=r"^2 faults in the settings; the first: PURUTO_CRON_MAX_RUNNING"):
        load(PURUTO_CRON_MAX_RUNNING="x", PURUTO_CRON_AUTO_SYNC="x")


@pytest.mark.parametrize("name", ["API_TOKEN", "My_Secret", "SSH_KEY", "DB_PASSWORD"])
def test_a_variable_that_looks_like_a_secret_is_never_quoted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        settings, "VARIABLES", (*VARIABLES, Variable("secret", name, "integer", "1", "A secret.", 0, 9))
    )
    with pytest.raises(SettingsError) as caught:
        load(**{name: "hunter2"})
    assert name in caught.value.message
    assert "hunter2" not in json.dumps(caught.value.as_dict())


def test_the_environment_is_what_jobs_may_pick_from() -> None:
    found = load(BANK_TOKEN="hunter2", EMPTY="")
    assert found.variables == {"BANK_TOKEN": "hunter2", "EMPTY": ""}
    assert "hunter2" not in repr(found)


def test_settings_can_not_be_changed() -> None:
    found = load(A="1")
    with pytest.raises(AttributeError):
        found.lease_sec = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.variables["A"] = "2"  # type: ignore[index]


def test_every_variable_fills_a_field_and_is_named_once() -> None:
    assert (
        len({variable.name for variable in VARIABLES})
        == len({variable.field for variable in VARIABLES})
        == len(VARIABLES)
    )
    assert {variable.field for variable in VARIABLES} <= set(Settings.__dataclass_fields__)


@pytest.mark.parametrize("place", ["site-packages", "dist-packages"])
def test_a_copy_in_the_packages_folder_is_refused(place: str) -> None:
    with pytest.raises(NotInPlaceError) as caught:
        settings.main_folder(f"/usr/lib/python3/{place}/main.py")
    assert "pip install -e" in caught.value.hint


def test_the_main_folder_is_that_of_this_program() -> None:
    assert settings.main_folder(str(PROJECT / "main.py")) == PROJECT
    assert settings.main_folder("/srv/site-packages/puruto-cron/main.py") == Path("/srv/site-packages/puruto-cron")


# --- the hop of the run that we are called from ---


@pytest.mark.parametrize(("text", "hop"), [(None, 0), ("", 0), ("0", 1), ("1", 2), (" 7 ", 8), ("1000", 1001)])
def test_a_manual_call_has_one_hop_more_than_the_run_around_it(text: str | None, hop: int) -> None:
    assert settings.next_hop({} if text is None else {"PURUTO_CRON_HOP": text}) == hop


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "1001", "10000", "99999999999999999999", "²", "٣", "1_0"])
def test_an_odd_hop_is_a_setting_fault_with_its_name(text: str) -> None:
    with pytest.raises(SettingsError, match="PURUTO_CRON_HOP") as caught:
        settings.next_hop({"PURUTO_CRON_HOP": text})
    problems = caught.value.details["problems"]
    assert isinstance(problems, list)
    assert [(problem["variable"], problem["source"]) for problem in problems] == [("PURUTO_CRON_HOP", "environment")]


def test_the_policy_the_option_and_the_environment_know_the_same_greatest_hop(tmp_path: Path) -> None:
    file = tmp_path / ".puruto-ipc.json"
    for most, fault in ((MOST_HOPS, False), (MOST_HOPS + 1, True)):
        file.write_text(json.dumps({"max_hops": most}))
        assert bool(PolicyFile(file).read().fault) is fault
    # A call from a run with the greatest hop is parsed, and refused by every policy.
    assert settings.next_hop({"PURUTO_CRON_HOP": str(MOST_HOPS)}) > MOST_HOPS


def test_a_wrong_zone_is_told_with_the_other_faults_and_its_place(tmp_path: Path) -> None:
    from app.app import App
    from core.system_clock import SystemClock

    (tmp_path / ".env").write_text("A=1\nPURUTO_CRON_TIMEZONE=Europe/Madird\nPURUTO_CRON_POLL_SECONDS=soon\n")
    with pytest.raises(SettingsError) as caught:
        _ = App(SystemClock(), {}, str(tmp_path)).settings
    problems = caught.value.details["problems"]
    assert isinstance(problems, list)
    found = {problem["variable"]: (problem["source"], problem["hint"]) for problem in problems}
    assert found["PURUTO_CRON_TIMEZONE"] == (".env line 2", "did you mean Europe/Madrid?")
    assert found["PURUTO_CRON_POLL_SECONDS"][0] == ".env line 3"
