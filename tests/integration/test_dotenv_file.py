"""`.env` files as people write them, and as accidents leave them; `.env.example` and the table of variables."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from config import envfile, settings
from config.problems import Problem
from config.settings import VARIABLES
from core.errors import SettingsError
from tests.workspace import PATIENCE
from tools import generate_docs

HERE = Path(settings.__file__).resolve().parents[1]


def load(root: Path, text: str | bytes, **environ: str) -> settings.Settings:
    (root / ".env").write_bytes(text if isinstance(text, bytes) else text.encode())
    return settings.load(environ, root)


def error_of(root: Path, text: str | bytes, **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(root, text, **environ)
    json.dumps(caught.value.as_dict(), ensure_ascii=False).encode()
    return caught.value


def problems_of(root: Path, text: str | bytes, **environ: str) -> list[dict[str, Any]]:
    problems = error_of(root, text, **environ).details["problems"]
    assert isinstance(problems, list)
    return problems


def test_values_come_from_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, "# mine\n\nDB_PATH=x.db\nexport PURUTO_CRON_LEASE_SECONDS = 60 # a minute\n")
    assert (found.db_path, found.lease_sec, found.env_file) == (tmp_path / "x.db", 60, tmp_path / ".env")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, "DB_PATH=x.db\nTOKEN=file\nOTHER=file\n", DB_PATH="y.db", TOKEN="environment")
    assert found.db_path == tmp_path / "y.db"
    assert (found.variables["TOKEN"], found.variables["OTHER"]) == ("environment", "file")


def test_an_empty_variable_of_the_environment_does_not_hide_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, "DB_PATH=x.db\nTOKEN=file\n", DB_PATH="", TOKEN="")
    assert (found.db_path, found.variables["TOKEN"]) == (tmp_path / "x.db", "file")


def test_an_empty_value_in_the_file_counts_as_unset(tmp_path: Path) -> None:
    assert load(tmp_path, "DB_PATH=\nPURUTO_CRON_LEASE_SECONDS=''\n").lease_sec == 120


def test_the_later_of_two_values_counts(tmp_path: Path) -> None:
    assert load(tmp_path, "DB_PATH=x.db\nDB_PATH=y.db\n").db_path == tmp_path / "y.db"
    (problem,) = problems_of(tmp_path, "PURUTO_CRON_MAX_RUNNING=1\nPURUTO_CRON_MAX_RUNNING=z\n")
    assert problem["line"] == 2


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("B=${A}/x", "1/x"),
        ('B="${A}/x"', "1/x"),
        ("B='${A}/x'", "${A}/x"),
        ("export B = '${A}'", "${A}"),
        ("'B'='${A}'", "${A}"),
        ("B=\"'${A}'\"", "'1'"),
        ("B=$A", "$A"),
        ("B=${NONE}", ""),
        ("B=${NONE:-else}", "else"),
        ("B=${A:-else}", "1"),
        ("B=${OUTER}", "environment"),
        ("B=a b # c", "a b"),
        ("B=a#b", "a#b"),
        ('B="a # b"', "a # b"),
        (r'B="a\nb"', "a\nb"),
        (r"B='a\nb'", r"a\nb"),
        ('B="two\nlines"', "two\nlines"),
        ('B="two\r\nlines"', "two\nlines"),
        ("B=año", "año"),
    ],
)
def test_quotes_comments_and_replacements(tmp_path: Path, line: str, value: str) -> None:
    found = load(tmp_path, f"A=1\nOUTER=file\n{line}\n", OUTER="environment")
    assert found.variables["B"] == value


#: What the syntax of a `.env` is made of.
PIECES = ["A", "B", "=", " ", "\t", "'", '"', "\\", "#", "\n", "\r\n", "export ", "x", "1", "\x0c"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@example("'A\nB'=1\nC=2\n")
@example("A='x\ny' z\nB=1\n")
@example("'A=2\nB='x'\nC=3\n")
@example("export # nothing\nA= #\nB=#1\n")
def test_any_file_is_read_as_python_dotenv_reads_it(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_bytes(text.encode())
    problems: list[Problem] = []
    found = envfile.read(path, {}, problems)
    expected = dotenv_values(stream=io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n")), interpolate=False)
    # A line without `=` sets nothing here, also when an earlier one has set that name.
    valued = {name: value for name, value in expected.items() if value is not None}
    assert {name: value for name, value in found.values.items() if name in valued} == valued
    assert set(found.values) <= set(expected)
    told = [problem["line"] for problem in [*problems, *found.warnings]]
    assert len(told) >= sum(value is None for value in expected.values())
    assert all(1 <= line <= text.count("\n") + 1 for line in [*told, *(line for line, _ in found.origins.values())])


def test_only_what_python_dotenv_documents_is_used() -> None:
    """Its submodules may change with any release."""
    tree = ast.parse(Path(envfile.__file__).read_text(encoding="utf-8"))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [name for name in names if name and name.split(".")[0] == "dotenv"] == ["dotenv"]


def test_windows_files_with_a_mark_are_read(tmp_path: Path) -> None:
    found = load(tmp_path, b"\xef\xbb\xbfDB_PATH=x.db\r\nPURUTO_CRON_MAX_RUNNING=9\r\n")
    assert (found.db_path, found.max_running) == (tmp_path / "x.db", 9)


def test_a_bad_value_is_reported_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "# mine\n\nA='x\ny'\n\n\nPURUTO_CRON_MAX_RUNNING=many\n")
    assert (problem["variable"], problem["line"], problem["source"]) == ("PURUTO_CRON_MAX_RUNNING", 7, ".env line 7")
    assert problem["text"] == "many"


def test_a_bad_value_of_the_environment_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "PURUTO_CRON_MAX_RUNNING=1\n", PURUTO_CRON_MAX_RUNNING="many")
    assert problem["source"] == "environment"


def test_a_bad_value_made_from_a_secret_does_not_show_it(tmp_path: Path) -> None:
    error = error_of(tmp_path, "BANK_TOKEN=hunter2\nPURUTO_CRON_MAX_RUNNING=${BANK_TOKEN}\n")
    assert "${BANK_TOKEN}" in error.message
    assert "hunter2" not in json.dumps(error.as_dict())


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('A="not closed\n', [1]),
        ("A='not closed\nB=1\n", [1]),
        ("\n\n\nA B=1\n", [4]),
        ("=x\n", [1]),
        ("A=1\n\n# c\n'A=2\n\nB C\n", [4, 6]),
        ('A="x" y\n', [1]),
        ("A=1\r\n\r\nB C\r\nD E\r\n", [3, 4]),
    ],
)
def test_lines_that_can_not_be_parsed_are_reported(tmp_path: Path, text: str, lines: list[int]) -> None:
    found = problems_of(tmp_path, text)
    assert [(problem["code"], problem["line"]) for problem in found] == [("DOTENV_SYNTAX", line) for line in lines]


def test_a_broken_line_and_bad_values_are_reported_together(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "A B\nPURUTO_CRON_MAX_RUNNING=0\n", PURUTO_CRON_AUTO_SYNC="x")
    assert [problem["code"] for problem in found] == ["DOTENV_SYNTAX", "OUT_OF_RANGE", "NOT_A_SWITCH"]


def test_nothing_of_a_broken_secret_is_shown(tmp_path: Path) -> None:
    error = error_of(tmp_path, 'BANK_KEY="hunter2\nhunter2hunter2\nhunter2==\nhunter2 hunter2\n')
    assert "hunter2" not in json.dumps(error.as_dict())
    found = load(tmp_path, "BANK_KEY=\nhunter2hunter2\nhunter2==\n")
    assert "hunter2" not in json.dumps(found.warnings)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"A=1\nB=\xff\n", "line 2 is not UTF-8"),
        ("A=año\n".encode("latin-1"), "line 1 is not UTF-8"),
        ("A=1\n".encode("utf-16"), "line 1 "),
        (b"A=1\nB=2\nC=\0\n", "line 3 contains a NUL byte"),
    ],
)
def test_bytes_that_are_not_text_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    error = error_of(tmp_path, data)
    assert said in error.message
    assert str(tmp_path / ".env") in error.message


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(SettingsError, match="is a folder"):
        settings.load({}, tmp_path)


def test_a_pipe_in_its_place_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(SettingsError, match="is not a regular file"):
        settings.load({}, tmp_path)


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / ".env").open("wb") as file:
        file.truncate(1 << 40)
    (problem,) = _problems(tmp_path)
    assert problem["code"] == "DOTENV_UNREADABLE"
    assert "is larger than 256 KiB" in problem["message"]
    (tmp_path / ".env").write_text("A=1\n" * (envfile.MAX_BYTES // 4))
    assert settings.load({}, tmp_path).variables["A"] == "1"


def test_a_device_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to("/dev/zero")
    (problem,) = _problems(tmp_path)
    assert (problem["code"], problem["source"]) == ("DOTENV_UNREADABLE", ".env")


def _problems(root: Path) -> list[dict[str, Any]]:
    with pytest.raises(SettingsError) as caught:
        settings.load({}, root)
    problems = caught.value.details["problems"]
    assert isinstance(problems, list)
    return problems


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to("secrets-not-mounted")
    with pytest.raises(SettingsError, match="No such file"):
        settings.load({}, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    (tmp_path / ".env").chmod(0)
    with pytest.raises(SettingsError, match="can't be read: it belongs to"):
        settings.load({}, tmp_path)


def test_a_failing_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("A=1\n")

    def failing(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("core.bounded_file._read", failing)
    with pytest.raises(SettingsError, match="Permission denied"):
        settings.load({}, tmp_path)


def test_an_unknown_name_of_ours_is_warned_of_with_the_nearest(tmp_path: Path) -> None:
    (warning,) = load(tmp_path, "A=1\nPURUTO_CRON_LEASE_SECOND=5\n").warnings
    assert (warning["code"], warning["variable"], warning["line"]) == (
        "UNKNOWN_VARIABLE",
        "PURUTO_CRON_LEASE_SECOND",
        2,
    )
    assert warning["hint"] == "did you mean PURUTO_CRON_LEASE_SECONDS?"
    (warning,) = load(tmp_path, "PURUTO_CRON_ZZZZZZZZZZZZZZZZZZZZZZ=5\n").warnings
    assert warning["hint"] == "settings are listed in .env.example"


READ_BY_OTHERS = "RUN_ID", "JOB_ID", "SLOT", "ATTEMPT", "REQUEST_ID", "REQUEST_FILE", "HOP"


@pytest.mark.parametrize("name", READ_BY_OTHERS)
def test_names_that_others_read_are_not_warned_of(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, f"PURUTO_CRON_{name}=5\nMY_TOKEN=x\n").warnings == ()


def test_a_line_without_an_equals_sign_is_warned_of(tmp_path: Path) -> None:
    (warning,) = load(tmp_path, "A=1\n\nPURUTO_CRON_AUTO_SYNC\n").warnings
    assert (warning["code"], warning["line"]) == ("NO_VALUE", 3)


def test_the_environment_of_this_process_is_not_touched(tmp_path: Path) -> None:
    before = dict(os.environ)
    load(tmp_path, "A_NEW_ONE=1\nDB_PATH=x\n")
    assert dict(os.environ) == before


def test_a_broken_file_prints_nothing_by_itself(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A B\n")
    code = (
        "import pathlib, sys\nfrom config import settings\n"
        "try: settings.load({}, pathlib.Path(sys.argv[1]))\n"
        "except settings.SettingsError: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=HERE, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_without_a_file_dotenv_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\nfrom config import settings\n"
        "settings.load({}, pathlib.Path(sys.argv[1]))\nprint('dotenv' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=HERE, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


# --- documents -------------------------------------------------------------------------------------------------


def test_the_example_file_is_the_generated_one() -> None:
    assert (HERE / ".env.example").read_text(encoding="utf-8") == generate_docs.env_example()


def test_a_copy_of_the_example_changes_nothing(tmp_path: Path) -> None:
    found = load(tmp_path, generate_docs.env_example())
    (tmp_path / ".env").unlink()
    plain = settings.load({}, tmp_path)
    assert [getattr(found, v.field) for v in VARIABLES] == [getattr(plain, v.field) for v in VARIABLES]
    assert (found.variables, found.warnings) == ({}, ())


def test_the_example_uncommented_gives_the_defaults(tmp_path: Path) -> None:
    text = "\n".join(line.removeprefix("#") for line in generate_docs.env_example().splitlines() if line[:2] != "# ")
    assert all(f"\n{variable.name}=" in text for variable in VARIABLES)
    found = load(tmp_path, text)
    (tmp_path / ".env").unlink()
    plain = settings.load({}, tmp_path)
    assert [getattr(found, v.field) for v in VARIABLES] == [getattr(plain, v.field) for v in VARIABLES]


def test_the_table_has_a_row_for_each_variable() -> None:
    rows = generate_docs.environment_table().splitlines()
    assert [row.split("|")[1].strip(" `") for row in rows[2:]] == [variable.name for variable in VARIABLES]
    assert all(row.count("|") == 5 for row in rows)
    assert "| `30` | a whole number from 1 to 3600 |" in rows[3]
