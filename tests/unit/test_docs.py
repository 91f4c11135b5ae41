"""The documents against the program: what they list is all there is, and their examples are what it does."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest

import db
from app import invoke_program
from commands import cli, import_crontab, listing, logs
from config import envfile, settings
from core import errors, invocation_errors, log_file, strict_json
from core.invocation import SLEEP_MARKER, Invocation, InvocationRequest
from core.job import PROMPT_LIMIT, Job
from core.kinds import RUNNERS
from core.run import RunStatus, Trigger
from doctor import places
from execution import attempt
from install import crontab_translation
from invocation import child_environment, policy, success_child
from invocation.runners import base as runner
from invocation.runners.agents import base as agent
from invocation.runners.agents import claude
from jobs import jobs_file, messages, success_fields
from reports import health
from schedules import language
from scheduling import planner
from tools.draw_architecture import SPINE
from tools.generate_docs import wanted

ROOT = Path(__file__).resolve().parent.parent.parent
NOT_OURS = {".venv", "mutants", ".demo", ".git", ".peers", ".pytest_cache", "runs"}
NOT_THE_PROGRAM = NOT_OURS | {"tests", "bench", "examples", "tools", "docs"}
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not NOT_OURS & set(path.relative_to(ROOT).parts))
READMES = ("README.md", "README.es.md")
#: An English page, and the Spanish one that says the same.
PAIRS = (READMES, ("docs/troubleshooting.md", "docs/es/problemas.md"))
ROW = re.compile(r"^\| .* \|$")
CODE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def program_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.py")):
        if path.relative_to(ROOT).parts[0] not in NOT_THE_PROGRAM:
            yield path


# --- reading Markdown ---


def headings(text: str) -> list[str]:
    return re.findall(r"^(#+ .*)$", text, re.MULTILINE)


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its rank or above."""
    rank = heading.split()[0]
    rest = text.split(f"{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, heads and rules left out."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if ROW.match(line) and not following.startswith("|---"):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def blocks(text: str) -> list[str]:
    """Indented blocks, without the indent."""
    found = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text + "\n", re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip("\n") for block in found]


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    words = (re.sub(r"^#+ ", "", heading) for heading in headings(path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", word.lower()).replace(" ", "-") for word in words}


# --- errors ---


def not_codes() -> set[str]:
    """Words in capitals that the program has besides codes."""
    others = {
        "UTC",
        "GMT",
        "COMMIT",
        "ROLLBACK",
        "NO_COLOR",
        "TERM",
        "SIGINT",
        "LC_ALL",
        "XDG_CONFIG_HOME",
        SLEEP_MARKER,
    }
    of_agents = {*agent._PROXIES, *claude._OF_THE_CALLER}
    of_agents |= {"CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLOUD_ML_REGION", "CLAUDE_CODE_MAX_RETRIES"}
    of_agents.add("CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS")
    of_cron = {*crontab_translation._MAIL, *crontab_translation._TIMING, *crontab_translation._CRONS_OWN, "CRON_TZ"}
    of_cron |= {*crontab_translation._SYSTEMD_CRONS}
    of_systemd = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
    others |= of_cron | of_systemd
    found = {variable.name for variable in settings.VARIABLES} | set(child_environment._INHERITED) | others | of_agents
    ours = {name for name in child_variables() if name.startswith(child_environment.OURS)}
    return found | ours | {name.removeprefix(child_environment.OURS) for name in ours}


def beside_the_point(tree: ast.AST) -> Iterator[ast.AST]:
    """What has words in capitals that are said to nobody as a code: `__all__`, a metavar, Unicode forms, attributes."""
    for node in ast.walk(tree):
        named = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else getattr(node, "arg", "")
        if named in ("__all__", "metavar") and isinstance(node, ast.Assign | ast.keyword):
            yield node.value
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("normalize", "getattr"):
            yield node


def used_codes() -> set[str]:
    found = set()
    for path in program_files():
        if path.relative_to(ROOT).parts[0] == "render":
            # The heads of its tables are in capitals.
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        left_out = {id(node) for top in beside_the_point(tree) for node in ast.walk(top)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 2:
                found |= {node.value} if CODE.fullmatch(node.value) and id(node) not in left_out else set()
    return found - not_codes()


def documented_codes() -> list[list[str]]:
    found = [row for name in ("docs/errors.md", "docs/doctor.md") for row in rows(read(name))]
    return [row for row in found if CODE.fullmatch(row[0].strip("`")) and row[0].startswith("`")]


def error_classes() -> list[type[errors.CronError]]:
    found = {kind for room in (errors, invocation_errors) for _, kind in inspect.getmembers(room, inspect.isclass)}
    return [kind for kind in found if issubclass(kind, errors.CronError)]


def test_the_search_for_codes_finds_every_kind_of_place_where_one_stands() -> None:
    some = {"DENIED", "INVOKER_ERROR_STATUS", "OVERLAP", "NO_TICK", "DUPLICATE_KEY", "OUT_OF_RANGE", "DOTENV_SYNTAX"}
    assert some <= used_codes()


def test_every_code_is_documented_and_no_other() -> None:
    assert {row[0].strip("`") for row in documented_codes()} == used_codes(), "run: make docs"


def test_every_error_class_stands_in_the_document() -> None:
    assert {kind.code for kind in error_classes()} <= {row[0].strip("`") for row in documented_codes()}


def test_the_documented_exit_codes_are_those_of_the_classes() -> None:
    # Several classes may share a code: the root and InternalError, an attempt's error and its kind.
    exits: dict[str, set[int]] = {}
    for kind in error_classes():
        exits.setdefault(kind.code, set()).add(kind.exit_code)
    told = {row[0].strip("`"): int(row[1]) for row in documented_codes() if row[1].isdecimal()}
    assert len(told) > 20
    assert {code: exits[code] for code in told} == {code: {number} for code, number in told.items()}
    command_errors = {kind.code for kind in error_classes() if not issubclass(kind, invocation_errors.InvocationError)}
    assert command_errors - set(told) == {"LEASE_LOST", "VERDICT_NOT_STORED"}


def test_the_codes_that_are_said_not_to_be_retried_are_those() -> None:
    table = rows(section(read("docs/errors.md"), "## Codes of runs"))
    kinds = {kind.code for kind in error_classes() if issubclass(kind, invocation_errors.InvocationError)}
    not_retried = {code for code in kinds if not invocation_errors.is_retried(code)}
    answer = {row[0].strip("`"): row[1] for row in table if row[1] in ("yes", "no")}
    assert {code for code, retried in answer.items() if retried == "no"} == not_retried
    assert kinds - {"CANCELLED"} <= set(answer)


# --- commands, fields, settings, packages ---


def test_every_command_is_in_the_list_and_in_the_formats() -> None:
    for name in ("docs/commands.md", "docs/files.md"):
        first = [row[0] for row in rows(read(name))]
        named = {word.split()[0] for cell in first for word in quoted(cell) if word.strip()}
        assert set(listing.names()) <= named, name


def test_every_option_of_a_command_is_in_the_list() -> None:
    import importlib

    table = {quoted(row[0])[0].split()[0]: row[0] for row in rows(section(read("docs/commands.md"), "## All commands"))}
    fields = {field.name for field in dataclasses.fields(Job)}
    for name in listing.names():
        command = importlib.import_module(listing.module_of(name)).command
        for parameter in command.params:
            argument = parameter.metavar or parameter.name.upper()
            option = parameter.opts[0] if parameter.opts[0].startswith("--") else argument.strip("[]")
            # One for each field of a job.
            options = {option, "--FIELD"} if parameter.name in fields else {option}
            told = table[name].replace("\\|", "|")
            assert any(option in told for option in options), f"{name} {option}"


def test_every_command_has_its_help_in_the_list() -> None:
    helps = section(read("docs/commands.md"), "## The help of each command")
    assert [heading.removeprefix("### ") for heading in headings(helps)] == listing.names()


def called(text: str) -> Iterator[tuple[str, list[str]]]:
    """(command, options) of each `main.py` line in the blocks of a document."""
    for block in blocks(text):
        for match in re.finditer(r"main\.py ([a-z][a-z-]*)((?:.*\\\n)*.*)$", block, re.MULTILINE):
            yield match[1], re.findall(r"(?<=\s)--[a-z][a-z-]*", re.split(r" && | \| |   #", match[2])[0])


def options_of(name: str) -> set[str]:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("path", [*map(ROOT.joinpath, READMES), *(ROOT / "docs").rglob("*.md")], ids=lambda p: p.name)
def test_every_command_line_in_a_document_is_one(path: Path) -> None:
    for name, options in called(path.read_text(encoding="utf-8")):
        assert listing.is_command(name)
        assert set(options) - {"--help"} <= options_of(name), name


@pytest.mark.parametrize(
    ("name", "heading"), [*zip(READMES, ("## Quick reference", "## Referencia rápida"), strict=True)]
)
def test_the_quick_reference_names_commands_that_are_there(name: str, heading: str) -> None:
    table = [row for row in rows(section(read(name), heading)) if len(row) == 2 and not row[0].startswith("`")]
    assert len(table) == 10
    for text in (text for row in table for text in quoted(row[1])):
        words = text.split()
        assert {word for word in words if word.startswith("--")} <= options_of(words[0]), text


def test_every_field_of_a_job_has_a_row() -> None:
    first = {row[0] for row in rows(read("docs/jobs-file.md"))}
    assert {f"`{field.name}`" for field in dataclasses.fields(Job)} <= first


def test_every_setting_has_a_row() -> None:
    first = {row[0] for row in rows(read("docs/settings.md"))}
    assert {f"`{variable.name}`" for variable in settings.VARIABLES} <= first


# --- architecture ---

PATHS = re.compile(r"(new )?`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?|\w+\.(?:py|toml)|README[\w.]*\.md|\.env\.example)`")


def architecture(heading: str) -> str:
    return section(read("docs/architecture.md"), heading)


def test_the_architecture_page_has_every_package_and_root_module_and_none_that_is_not_there() -> None:
    spine, around = architecture("## The spine").split("\nAround it:")
    files = {path.relative_to(ROOT) for path in program_files()}
    assert [quoted(row[0])[0] for row in rows(spine)] == [f"{name}.py" for name in SPINE]
    assert {quoted(row[0])[0] for row in rows(spine)} == {path.name for path in files if len(path.parts) == 1}
    named = [quoted(row[2])[0] for row in rows(spine)] + [quoted(row[1])[0] for row in rows(around)]
    assert sorted(named) == sorted({f"{path.parts[0]}/" for path in files if len(path.parts) > 1})
    assert [quoted(row[2])[0] for row in rows(spine)] == [f"{parts}/" for parts in SPINE.values()]


def test_what_the_architecture_page_names_is_there() -> None:
    named = PATHS.findall(read("docs/architecture.md"))
    # Each installation has the first of its own; the others come from a run.
    made = {"notifications/events.jsonl"}
    assert len(named) > 80
    # What is called new is there as soon as somebody has made that change.
    missing = [name for is_new, name in named if not is_new and name not in made and not (ROOT / name).exists()]
    assert missing == [], "named in docs/architecture.md, and not there"


def test_the_walk_of_a_slot_goes_through_seven_files_and_functions_that_are_there() -> None:
    walk = architecture("## The walk of one slot")
    steps = re.findall(r"^(\d)\. \*\*`([\w/.]+)`\*\*: ", walk, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, 8))
    assert len({name for _, name in steps}) == 7
    texts = "".join(path.read_text(encoding="utf-8") for path in program_files())
    functions = {word for word in quoted(walk) if re.fullmatch(r"[A-Za-z_]+(\.[a-z_]+)?", word) and ".py" not in word}
    assert len(functions) > 10
    for word in functions:
        assert re.search(rf"\b(def|class) {word.rpartition('.')[2]}\b", texts), word


def test_each_change_names_its_file_its_test_and_what_is_generated() -> None:
    changes = rows(architecture("## Where do I put …").split("\nAnd what these ask for")[0])
    assert len(changes) == 10
    made = {str(path.relative_to(ROOT)): text for path, text in wanted(ROOT).items()}
    for change, file, test, generated in changes:
        assert PATHS.search(file), change
        assert "`tests/" in test, change
        automatic = generated.partition(";")[0]
        assert automatic == "nothing" or quoted(automatic), change
        for name in quoted(automatic):
            if "/" in name or name.startswith("."):
                assert not name.endswith(".md") or "<!-- generated: " in made[name], (change, name)
                assert name in made, (change, name)


def test_every_alias_of_a_schedule_is_documented() -> None:
    page = read("docs/schedules.md")
    assert [name for name in language.NAMED if f"`{name}`" not in page] == [], "missing in docs/schedules.md"


# --- targets ---


def child_variables() -> dict[str, str]:
    """What a process of a job finds in its environment when the scheduler has all that it may hand on."""
    request = InvocationRequest("req-1", "corr-1", "puruto-cron", "t", "run", "p", 1, 0, "", {})
    invocation = Invocation(request, attempt=1, run_folder="/r", run_id="j-1", job_id="j")
    have = dict.fromkeys([*child_environment._INHERITED, "SECRET", "LC_ALL", "PURUTO_CRON_RUN_FOLDER"], "x")
    return child_environment.child_environment(have, invocation, Path("/r/attempt-1.request.json"), {})


def test_the_environment_of_a_process_is_the_documented_one() -> None:
    table = rows(section(read("docs/targets.md"), "## Environment"))
    told = {name for row in table for name in quoted(row[0]) if CODE.fullmatch(name)}
    assert told == set(child_variables())


def test_the_request_in_the_document_has_the_keys_of_a_request() -> None:
    request = InvocationRequest("req-1", "corr-1", "puruto-cron", "t", "run", "p", 1, 0, "", {})
    shown = [json.loads(block) for block in blocks(read("docs/targets.md")) if block.startswith('{\n  "request_id"')]
    assert list(shown[0]) == list(request.as_dict())
    assert [answer["status"] for answer in shown[1:]] == ["ok", "error"]


def test_runners_policy_keys_and_options_of_the_invoker_are_all_documented() -> None:
    text = read("docs/targets.md")
    assert {quoted(row[0])[0] for row in rows(section(text, "## Runners"))} == set(RUNNERS)
    keys = rows(section(text, "## Policy and hops"))
    assert [quoted(row[0])[0] for row in keys] == list(policy._KEYS)
    defaults = dataclasses.asdict(policy.Policy())
    for (key, default), told in zip(((row[0].strip("`"), row[1]) for row in keys), keys, strict=True):
        value = defaults[key]
        assert json.loads(default.strip("`")) == (list(value) if isinstance(value, tuple) else value), told
    options = {quoted(row[0])[0].split()[0] for row in rows(section(text, "## invoker.py as a program"))}
    assert options == set(invoke_program._OPTIONS)


# --- files ---


def test_tables_and_columns_are_those_of_the_schema() -> None:
    connection = sqlite3.connect(":memory:")
    for script in sorted((ROOT / "store" / "sql").glob("*.sql")):
        connection.executescript(script.read_text(encoding="utf-8"))
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    text = read("docs/files.md")
    for table in (name for name in tables if not name.startswith("sqlite_")):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        head, _, body = section(text, f"### {table}").partition("| column | meaning |")
        assert body, head
        listed = [name for row in rows(body.split("\n\n")[0]) for name in quoted(row[0])]
        assert sorted(listed) == sorted(columns), table
    for query in blocks(section(text, "### Questions to ask it")):
        connection.execute(query)
    connection.close()


#: A number in a document, as a pattern with one group, and the number in the program.
LIMITS = [
    ("docs/files.md", r"The current schema is (\d+)", db.SCHEMA_VERSION),
    ("docs/files.md", r"`\.v2\.bak` to `\.v(\d+)\.bak` likewise", db.SCHEMA_VERSION - 1),
    ("docs/commands.md", r'"schema_version": (\d+)', db.SCHEMA_VERSION),
    ("docs/files.md", r"The process that finds the file at (\d+) MB", log_file.ROTATE_AT // 1_000_000),
    ("docs/files.md", r"is rotated when it has reached (\d+) MB", log_file.ROTATE_AT // 1_000_000),
    ("docs/files.md", r"older files are kept: (\d+) MB in all", log_file.ROTATE_AT * (log_file.KEPT + 1) // 1_000_000),
    ("docs/files.md", r"its slot came due more than (\d+) seconds before", planner.ON_TIME_SEC),
    ("docs/files.md", r"have been due for more than (\d+) seconds", health.OVERDUE_AFTER_SEC),
    ("docs/files.md", r"the end of the answer, at most ([\d,]+) characters", attempt.SUMMARY_LIMIT),
    ("docs/doctor.md", r"is undamaged, schema (\d+)", db.SCHEMA_VERSION),
    ("docs/doctor.md", r"have been due for more than (\d+) seconds", health.OVERDUE_AFTER_SEC),
    ("docs/doctor.md", r"less than (\d+) MiB are left", places.NONE_BYTES >> 20),
    ("docs/doctor.md", r"less than (\d+) MiB, or room", places.LOW_BYTES >> 20),
    ("docs/doctor.md", r"room for less than ([\d,]+) files", places.LOW_FILES),
    ("docs/jobs-file.md", r"byte order mark, of at most (\d+) MiB", jobs_file.MAX_FILE_BYTES >> 20),
    ("docs/jobs-file.md", r"no nesting\s+deeper than (\d+) levels", strict_json.MAX_DEPTH),
    ("docs/jobs-file.md", r"no number of more than (\d+) digits", strict_json.MAX_DIGITS),
    ("docs/jobs-file.md", r"nested at most (\d+) levels deep", strict_json.MAX_DEPTH),
    ("docs/jobs-file.md", r"A schema may be nested (\d+) levels", success_fields.MAX_SCHEMA_DEPTH),
    ("docs/jobs-file.md", r"levels deep and have ([\d,]+) parts", success_fields.MAX_SCHEMA_PARTS),
    ("docs/jobs-file.md", r"at most ([\d,]+) characters, like a prompt", PROMPT_LIMIT),
    ("docs/jobs-file.md", r"first and in the\s+last (\d+) KiB are searched", success_child.PIECE >> 10),
    ("docs/jobs-file.md", r"(\d+) seconds after its slot", planner.ON_TIME_SEC),
    ("docs/errors.md", r"is larger than (\d+) MiB \| the hint", jobs_file.MAX_FILE_BYTES >> 20),
    ("docs/errors.md", r"is not a regular file, is larger than (\d+) MiB", import_crontab.MAX_BYTES >> 20),
    ("docs/errors.md", r"a device, larger than (\d+) KiB", envfile.MAX_BYTES >> 10),
    ("docs/errors.md", r"up to ([\d,]+): then the check stops", messages.MAX_COUNTED),
    ("docs/targets.md", r"`stdout` holds the first (\d+) KiB", runner.RESULT_LIMIT >> 10),
    ("docs/targets.md", r"`stderr` the last (\d+) KiB", runner.TAIL_LIMIT >> 10),
    ("docs/targets.md", r"nested at most (\d+) levels deep", strict_json.MAX_DEPTH),
    ("docs/targets.md", r"shows the last (\d+) KiB of each", logs.SHOWN_BYTES >> 10),
    ("docs/targets.md", r"the prompt, at most ([\d,]+) characters", PROMPT_LIMIT),
    ("docs/design.md", r"At most (\d+) KiB of an answer go into `result`", runner.RESULT_LIMIT >> 10),
    ("docs/design.md", r"`busy_timeout` (\d+) s", db.BUSY_TIMEOUT_MS // 1_000),
    ("docs/agents.md", r"`text` holds at most (\d+) KiB", runner.RESULT_LIMIT >> 10),
    ("docs/agents.md", r"with the last ([\d,]+) characters, at most", attempt.SUMMARY_LIMIT),
]


@pytest.mark.parametrize(("name", "pattern", "number"), LIMITS, ids=str)
def test_a_number_in_a_document_is_that_of_the_program(name: str, pattern: str, number: int) -> None:
    found = [int(text.replace(",", "")) for text in re.findall(pattern, read(name))]
    assert found, "the document does not say it any more"
    assert set(found) == {number}


def test_statuses_and_triggers_are_all_documented() -> None:
    text = section(read("docs/files.md"), "### runs")
    first = [quoted(row[0])[0] for row in rows(text) if quoted(row[0])]
    assert first[-len(RunStatus) - len(Trigger) :] == [*RunStatus, *Trigger]


def test_events_in_the_document_are_events() -> None:
    shown = [json.loads(block) for block in blocks(section(read("docs/files.md"), "## Events"))]
    assert len(shown) == 6
    for event in shown:
        assert list(event)[:3] == ["ts", "job_id", "run_id"]
        assert ("attempt" in event, "attempts" in event) in ((True, False), (False, True))
        assert ("result" in event) == ("attempt" in event)
        assert ("error" in event) == ("attempts" in event)


# --- schedules and jobs files: the examples are tried ---

EXAMPLE = re.compile(r"--schedule \"(.+?)\" --timezone (\S+) --after (\S+) --count (\d+)$", re.MULTILINE)


def worked_examples() -> list[tuple[str, str, str, int, list[list[str]]]]:
    text = read("docs/schedules.md")
    found = []
    for match in EXAMPLE.finditer(text):
        table = text[match.end() :].lstrip("\n").split("\n\n")[0]
        found.append((match[1], match[2], match[3], int(match[4]), rows(table)))
    return found


@pytest.mark.parametrize(("schedule", "zone", "after", "count", "table"), worked_examples())
def test_worked_examples_of_schedules_are_what_the_engine_says(
    schedule: str, zone: str, after: str, count: int, table: list[list[str]]
) -> None:
    start = instant = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert len(table) == count
    for local, utc, _ in table:
        found = language.next_fire(schedule, zone, instant, anchor=start)
        assert found is not None
        instant = found
        assert (local, utc) == (instant.astimezone(ZoneInfo(zone)).isoformat(), instant.isoformat())


def test_there_are_worked_examples() -> None:
    assert len(worked_examples()) >= 8


def refused_schedules() -> list[list[str]]:
    return rows(section(read("docs/schedules.md"), "## What is refused"))


@pytest.mark.parametrize("row", refused_schedules(), ids=lambda row: row[0])
def test_what_is_said_to_be_refused_is_refused_and_the_advice_is_taken(row: list[str]) -> None:
    with pytest.raises(errors.ScheduleError):
        language.check(quoted(row[0])[0], "UTC")
    advice = quoted(row[2])[0]
    if advice != "@reboot":
        language.check(advice, "UTC")


@pytest.mark.parametrize("name", ["README.md", "docs/jobs-file.md"])
def test_jobs_files_in_the_documents_are_good(name: str) -> None:
    files = [block for block in blocks(read(name)) if re.match(r'\{\s*("\$schema".*\s*)?"jobs"', block)]
    assert files
    for block in files:
        known = jobs_file.parse_jobs(block.encode(), name, lambda text, zone: language.check(text, zone or "UTC"))
        assert known.jobs
        assert known.warnings == ()


# --- links, and the two languages ---


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_local_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^ {4}.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place) if place else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


#: A key of the JSON of `status`, which nobody sees on a terminal; `scheduler.py` is a file.
STATUS_KEY = re.compile(r"`(?:scheduler|sync|events|paths)\.(?!py`|jsonl`)[a-z_]+`")
PAGES_FOR_PEOPLE = [
    *READMES,
    *PAIRS[1],
    *sorted(f"docs/guides/{path.name}" for path in (ROOT / "docs/guides").glob("*.md")),
]


@pytest.mark.parametrize("name", PAGES_FOR_PEOPLE)
def test_a_page_for_people_names_keys_of_status_only_together_with_json(name: str) -> None:
    parts = [part for text in re.split(r"\n\s*\n", read(name)) for part in re.split(r"\n(?=[|-] ?)", text)]
    assert [part for part in parts if STATUS_KEY.search(part) and "--json`" not in part] == []


def test_documents_are_found() -> None:
    assert {ROOT / name for name in (*READMES, "docs/errors.md")} <= set(DOCUMENTS)


def code(block: str) -> str:
    """A block without the remarks that stand behind two spaces or more: those are translated."""
    return "\n".join(re.sub(r"(?<=\S) {2,}(?=[^\s]).*", "", line) for line in block.splitlines())


@pytest.mark.parametrize("pair", PAIRS)
def test_both_languages_have_the_same_headings(pair: tuple[str, str]) -> None:
    english, spanish = ([heading.split()[0] for heading in headings(read(name))] for name in pair)
    assert english == spanish


def test_both_readmes_have_the_same_code() -> None:
    english, spanish = ([code(block) for block in blocks(read(name))] for name in READMES)
    assert english == spanish
    assert len(english) > 10


@pytest.mark.parametrize("name", READMES)
def test_a_readme_is_short(name: str) -> None:
    assert len(read(name).splitlines()) <= 250


@pytest.mark.parametrize("pair", PAIRS)
def test_both_languages_have_the_same_rows_with_the_same_names_and_numbers(pair: tuple[str, str]) -> None:
    """Words are translated; names, values and numbers are not."""

    def facts(name: str) -> list[tuple[int, list[str], list[str]]]:
        found = []
        for row in rows(read(name)):
            line = re.sub(r"\]\([^)]*\)", "]", " ".join(row))
            numbers = sorted(re.sub(r"[.,]", "", number) for number in re.findall(r"\d+(?:[.,]\d{3})*", line))
            found.append((len(row), sorted(quoted(line)), numbers))
        return found

    english, spanish = facts(pair[0]), facts(pair[1])
    assert len(english) > 20
    for first, second in zip(english, spanish, strict=True):
        assert first == second


def links(name: str) -> list[str]:
    """Where a page leads, from the top folder."""
    found = re.findall(r"\]\(([^)\s]+)\)", read(name))
    return [link if "://" in link else os.path.normpath(Path(name).parent / link) for link in found]


@pytest.mark.parametrize("pair", [*PAIRS, ("docs/promises.md", "docs/es/promesas.md")])
def test_both_languages_link_to_the_same_places(pair: tuple[str, str]) -> None:
    english, spanish = map(links, pair)
    # The tests and files that a promise names; the Spanish page has no table of what goes wrong elsewhere.
    own = {*READMES, *(name for pair in PAIRS for name in pair), "docs/promises.md", "docs/es/promesas.md"}
    left_out = own | ({"docs/time.md", "docs/testing.md"} if "promises" in pair[0] else set())
    kept = [[link for link in found if link not in left_out] for found in (english, spanish)]
    assert kept[0] == kept[1]
    assert len(kept[0]) >= 6


# --- the tests that documents name ---


def test_every_test_that_a_document_names_is_there() -> None:
    named = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        named += [(file, test) for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)]
        named += [(file, test) for test, file in re.findall(r"\[(test_\w+)\]\((?:\.\./)*(tests/[\w/]+\.py)\)", text)]
    assert len(named) > 60
    missing = [f"{file}::{test}" for file, test in named if f"\ndef {test}(" not in read(file)]
    assert missing == []


@pytest.mark.parametrize("name", ["docs/promises.md", "docs/es/promesas.md"])
def test_every_promise_names_its_tests(name: str) -> None:
    promises = re.split(r"\n(?=\d\. )", read(name).split("\n## What goes wrong")[0])[1:]
    assert len(promises) == 6
    assert all("](../" in promise and "/tests/" in promise for promise in promises)


@pytest.mark.parametrize(("name", "count"), [("docs/promises.md", 25), ("docs/time.md", 20)])
def test_every_rule_names_its_test(name: str, count: int) -> None:
    found = [row for row in rows(read(name)) if row[0] not in ("#", "what happens")]
    assert len(found) >= count
    assert all("`tests/" in row[-1] for row in found)
