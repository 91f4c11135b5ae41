"""What people look at: past runs, one run, what a run would be, every slot of a span; as JSON, CSV and tables."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import JobNotFound, RunNotFound, UsageError
from tests.support_agents import agent_job, calls, install
from tests.support_machine import COUNT, FAIL, Machine, shell
from tests.support_terminal import on_terminal
from tests.workspace import PATIENCE, FakeClock, Workspace

SECRET = "s3cr3t-of-the-report"


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    """Three jobs on a clock of the test's own."""
    machine = Machine(workspace, clock, REPORT_TOKEN=SECRET)
    machine.ready(
        shell(COUNT, job_id="good", timezone="Europe/Madrid"),
        shell(FAIL, job_id="bad"),
        shell(f"echo {SECRET}; echo {SECRET} >&2", job_id="telling", allow_env=["REPORT_TOKEN"]),
    )
    return machine


def answer(machine: Machine, *words: str) -> dict[str, Any]:
    code, found = machine.run(*words)
    assert code == 0
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [run["run_id"] for run in found["runs"]]


# --- history ---


def test_history_shows_the_newest_first_with_how_they_ended(machine: Machine, clock: FakeClock) -> None:
    machine.run_now("good")
    clock.advance(minutes=1)
    machine.run_now("bad")
    bad, good = answer(machine, "history")["runs"]
    assert (bad["job_id"], bad["status"], bad["error_code"], bad["exit_code"]) == ("bad", "error", "NONZERO_EXIT", 1)
    assert "ended with exit code 1" in bad["error"]
    assert (good["status"], good["error_code"], good["error"], good["runner"]) == ("ok", None, None, "command")
    assert good["started_at"] == "2026-02-25T20:00:00+00:00"


def test_history_is_filtered_by_job_status_and_time(machine: Machine, clock: FakeClock) -> None:
    first = machine.run_now("good")["run_id"]
    clock.advance(hours=3)
    second = machine.run_now("good")["run_id"]
    third = machine.run_now("bad")["run_id"]
    assert ids(answer(machine, "history", "good")) == [second, first]
    assert ids(answer(machine, "history", "--status", "error")) == [third]
    assert ids(answer(machine, "history", "good", "--status", "error")) == []
    assert ids(answer(machine, "history", "good", "--since", "2h")) == [second]
    assert ids(answer(machine, "history", "good", "--since", "180m")) == [second, first]
    assert ids(answer(machine, "history", "--since", "2026-02-25T23:00:00+00:00", "good")) == [second]
    machine.environ["PURUTO_CRON_TIMEZONE"] = "Europe/Madrid"
    assert ids(answer(machine, "history", "good", "--since", "2026-02-26T00:00")) == [second], "local: 23:00 UTC"
    assert ids(answer(machine, "history", "good", "--since", "2026-02-26T00:01")) == []


def test_pages_of_history_hold_each_run_once_also_those_of_one_second(machine: Machine, clock: FakeClock) -> None:
    made = [machine.run_now("good")["run_id"] for _ in range(5)]
    clock.advance(minutes=1)
    made += [machine.run_now("good")["run_id"] for _ in range(2)]
    found: list[str] = []
    words: tuple[str, ...] = ()
    for _ in range(5):
        page = answer(machine, "history", "--limit", "2", *words)
        found += ids(page)
        if page["next_page"] is None:
            break
        words = ("--before", page["next_page"])
    assert sorted(found) == sorted(made)
    assert len(found) == 7
    assert page["next_page"] is None


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("nobody",), JobNotFound),
        (("--before", "nobody-1"), UsageError),
        (("--since", "lately"), UsageError),
        (("--since", "99999999999999w"), UsageError),
    ],
)
def test_history_refuses_what_it_does_not_know(machine: Machine, words: tuple[str, ...], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        machine.run("history", *words)


@pytest.mark.process
def test_history_as_csv_is_read_by_a_spreadsheet_and_runs_no_formula(machine: Machine, workspace: Workspace) -> None:
    machine.run_now("good")
    machine.run_now("bad")
    workspace.sql(
        "UPDATE runs SET exit_code = -15, error_json = ? WHERE job_id = 'bad'",
        (json.dumps({"code": "NONZERO_EXIT", "message": '=cmd|"x"!A1,\nsecond', "details": {}}),),
    )
    done = workspace.run("history", "--format", "csv")
    assert (done.returncode, done.stderr) == (0, b"")
    rows = {row["job_id"]: row for row in csv.DictReader(io.StringIO(done.stdout.decode()))}
    assert rows["bad"]["exit_code"] == "-15"
    assert rows["bad"]["error"].startswith("'=cmd")
    assert rows["good"]["status"] == "ok"
    assert list(rows["good"]) == list(workspace.json("history")["runs"][0])


@pytest.mark.process
def test_csv_of_nothing_has_its_head(workspace: Workspace) -> None:
    workspace.ready()
    empty = workspace.run("history", "--format", "csv").stdout
    workspace.add_target()
    workspace.ready({"job_id": "good"})
    workspace.json("run-now", "good")
    assert empty == workspace.run("history", "--format", "csv").stdout.splitlines(keepends=True)[0]
    assert empty.decode().startswith("run_id,job_id,status,")


@pytest.mark.parametrize("words", [("--json", "--format", "csv"), ("--text", "--format", "json")])
def test_two_forms_at_once_are_refused(machine: Machine, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"{words[0]} contradicts --format {words[2]}"):
        machine.run("history", *words)


def test_history_and_show_read_through_indexes(machine: Machine, workspace: Workspace) -> None:
    machine.run_now("good")
    order = "ORDER BY started_at DESC, run_id DESC LIMIT 50"
    queries = {
        f"SELECT * FROM runs WHERE 1 {order}": "runs_recent",
        f"SELECT * FROM runs WHERE 1 AND job_id = 'x' {order}": "runs_of_job (job_id=?)",
    }
    with closing(sqlite3.connect(workspace.database)) as connection:
        for query, index in queries.items():
            plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
            assert "TEMP B-TREE" not in plan, plan
            assert index in plan, plan


# --- show ---


def test_show_has_all_of_a_run_in_the_order_of_its_calls_with_secrets_masked(machine: Machine) -> None:
    run_id = machine.run_now("telling")["run_id"]
    found = answer(machine, "show", run_id)
    assert (found["run"]["run_id"], found["run"]["status"], found["run"]["runner"]) == (run_id, "ok", "command")
    (call,) = found["calls"]
    assert (call["request"]["payload"]["run_id"], call["file"].endswith("attempt-1.request.json")) == (run_id, True)
    assert [file["file"] for file in found["output"]] == [
        "attempt-1.request.json",
        "attempt-1.stderr",
        "attempt-1.stdout",
    ]
    assert found["output"][2]["text"] == "***\n"
    assert [event["run_id"] for event in found["events"]] == [run_id]
    assert SECRET not in json.dumps(found)


@pytest.mark.process
def test_show_of_a_run_with_many_calls_has_them_in_their_order(machine: Machine, workspace: Workspace) -> None:
    install(workspace, "claude")
    machine.environ["PURUTO_CRON_AGENT_PATH"] = workspace.environ["PURUTO_CRON_AGENT_PATH"]
    workspace.write_jobs(agent_job("x", job_id="beating", heartbeat={"max_iterations": 11}))
    answer(machine, "sync-jobs", "--allow-removals")
    run_id = machine.run_now("beating")["run_id"]
    found = answer(machine, "show", run_id)
    counted = [call["request"]["payload"]["heartbeat"]["iteration"] for call in found["calls"]]
    assert counted == list(range(1, 12))
    assert (found["run"]["iterations"], found["run"]["cost_usd"]) == (11, 2.75)


def test_show_of_a_run_that_failed_was_never_started_or_is_unknown(machine: Machine, workspace: Workspace) -> None:
    failed = answer(machine, "show", machine.run_now("bad")["run_id"])
    assert failed["run"]["error"]["code"] == "NONZERO_EXIT"
    workspace.sql("UPDATE jobs SET next_run_at = '2026-02-20T00:00:00+00:00' WHERE job_id = 'good'")
    (workspace.root / "runs").rename(workspace.root / "gone")
    assert answer(machine, "show", failed["run"]["run_id"])["output"] == []
    with pytest.raises(RunNotFound):
        machine.run("show", "good-1")


# --- dry-run ---


def test_dry_run_says_what_a_run_would_be_and_starts_nothing(machine: Machine, workspace: Workspace) -> None:
    found = answer(machine, "dry-run", "telling")
    assert (found["problem"], found["gate"], found["runner"], found["running"]) == (None, None, "command", False)
    assert found["target"] == str(workspace.home / "puruto-target")
    assert found["argv"][:2] == ["/bin/sh", "-c"]
    assert found["environment"]["REPORT_TOKEN"] == "***"
    assert SECRET not in json.dumps(found)
    assert found["environment"]["PURUTO_CRON_RUN_ID"] == "RUN_ID"
    assert len(found["instants"]) == 3
    assert workspace.runs() == []
    assert not (workspace.root / "runs").exists() or list((workspace.root / "runs").glob("*/*")) == []


def test_dry_run_is_what_the_run_then_is(machine: Machine, workspace: Workspace) -> None:
    install(workspace, "claude")
    machine.environ["PURUTO_CRON_AGENT_PATH"] = workspace.environ["PURUTO_CRON_AGENT_PATH"]
    workspace.write_jobs(agent_job("¿qué?", job_id="asked", model="opus", session_mode="ephemeral_with_summary"))
    answer(machine, "sync-jobs", "--allow-removals")
    machine.run_now("asked")
    told = answer(machine, "dry-run", "asked")
    machine.run_now("asked")
    second = calls(workspace)[1]
    assert told["argv"][1:] == second["argv"]
    assert told["stdin"] == told["prompt"] == second["prompt"]
    assert "answer 1" in told["prompt"], "the summary of the run before stands before the prompt"
    assert set(told["environment"]) <= set(second["env"])


def test_dry_run_says_why_a_run_could_not_start(machine: Machine, workspace: Workspace) -> None:
    workspace.write_jobs(
        {"job_id": "lost", "puruto_target": "nowhere", "command": ["true"]},
        {"job_id": "off", "command": ["true"], "enabled": False},
    )
    answer(machine, "sync-jobs", "--allow-removals")
    found = answer(machine, "dry-run", "lost")
    assert found["problem"]["code"] == "TARGET_NOT_FOUND"
    assert "argv" not in found
    off = answer(machine, "dry-run", "off")
    assert (off["enabled"], len(off["instants"])) == (False, 3)
    with pytest.raises(JobNotFound):
        machine.run("dry-run", "nobody")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-program"], "no-such-program was not found in PATH"),
        (["ls | wc -l"], "there is no program 'ls | wc -l'"),
        (["./report.sh"], "./report.sh does not exist"),
        (["./plain.sh"], "plain.sh is not executable"),
        (["./broken.sh"], "no-such-interpreter"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_dry_run_notices_a_program_that_is_not_there(
    machine: Machine, workspace: Workspace, command: list[str], message: str
) -> None:
    for name, mode in (("plain.sh", 0o644), ("broken.sh", 0o755)):
        path = workspace.home / "puruto-target" / name
        path.write_text("#!/no-such-interpreter\n")
        path.chmod(mode)
    workspace.write_jobs({"job_id": "lost", "command": command})
    answer(machine, "sync-jobs", "--allow-removals")
    found = answer(machine, "dry-run", "lost")
    assert found["problem"]["code"] == "IPC_ERROR"
    assert message in found["problem"]["message"]
    assert found["argv"] == command
    text = machine.printed("dry-run", "lost", "--text")[1]
    assert text.startswith("lost could not start:\n  error: ")
    assert "Next:" not in text
    code, result = machine.run("run-now", "lost")
    assert (code, result["error"]["message"]) == (1, found["problem"]["message"]), "as the run says it"


def test_dry_run_of_an_agent_whose_interpreter_is_missing(machine: Machine, workspace: Workspace) -> None:
    workspace.add_target("puruto-agent", invoke=None)
    program = workspace.home / "bin" / "claude"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/usr/bin/env no-such-node\n")
    program.chmod(0o755)
    machine.environ["PURUTO_CRON_AGENT_PATH"] = str(program.parent)
    workspace.write_jobs(agent_job("x", job_id="asked", runner="claude"))
    answer(machine, "sync-jobs", "--allow-removals")
    assert "no-such-node" in answer(machine, "dry-run", "asked")["problem"]["message"]


def test_dry_run_shows_the_schedule_and_its_times_in_the_zone_of_the_job(
    machine: Machine, workspace: Workspace
) -> None:
    there = "Pacific/Kiritimati"
    workspace.write_jobs(
        {"job_id": "far", "command": ["true"], "schedule": "30 8 * * *", "timezone": there,
         "paused_until": "2026-03-01T00:00:00Z"}
    )  # fmt: skip
    answer(machine, "sync-jobs", "--allow-removals")
    found = answer(machine, "dry-run", "far")
    assert (found["schedule"], found["timezone"]) == ("30 8 * * *", there)
    text = machine.printed("dry-run", "far", "--text")[1]
    assert "30 8 * * * (Pacific/Kiritimati)" in text
    assert text.split("  next ")[1].splitlines()[0].split()[:2] == ["Mon", "08:30"], "after the pause"
    assert "It is paused until Sun 14:00" in text
    assert "paused until Sun 14:00" in machine.printed("next", "far", "--text")[1]
    paused = machine.printed("pause-job", "far", "--until", "2026-03-02T00:00:00Z", "--text")[1]
    assert "paused until  Mon 14:00" in paused


def test_dry_run_tells_what_a_gate_says_now(machine: Machine, workspace: Workspace) -> None:
    install(workspace, "claude")
    machine.environ["PURUTO_CRON_AGENT_PATH"] = workspace.environ["PURUTO_CRON_AGENT_PATH"]
    workspace.write_jobs(agent_job("x", job_id="dear", max_cost_usd_per_day=0.2))
    answer(machine, "sync-jobs", "--allow-removals")
    assert answer(machine, "dry-run", "dear")["gate"] is None
    machine.run_now("dear")
    assert answer(machine, "dry-run", "dear")["gate"]["code"] == "COST_LIMIT"
    text = machine.printed("dry-run", "dear", "--text")[1]
    assert text.rstrip().endswith("Next: python3 main.py run-now dear --force")


# --- simulate ---


def simulated(machine: Machine, start: str, end: str, *words: str) -> dict[str, Any]:
    return answer(machine, "simulate", "--from", start, "--to", end, *words)


def test_simulate_lists_every_slot_of_a_span_with_a_clock_change(machine: Machine, workspace: Workspace) -> None:
    workspace.write_jobs(
        {"job_id": "night", "command": ["true"], "schedule": "30 2 * * *", "timezone": "Europe/Madrid"},
        {"job_id": "off", "command": ["true"], "schedule": "0 * * * *", "enabled": False},
    )
    answer(machine, "sync-jobs", "--allow-removals")
    span = ("2026-03-28T00:00+00:00", "2026-03-31T00:00+00:00")
    found = simulated(machine, *span)
    assert [slot["local"] for slot in found["slots"]] == [
        "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00",
    ]  # fmt: skip
    assert found["per_job"] == {"night": 3}
    assert simulated(machine, *span, "--all")["per_job"] == {"night": 3, "off": 72}
    assert simulated(machine, *span, "--all", "--job", "off")["per_job"] == {"off": 72}
    assert workspace.runs() == []


def test_simulate_marks_minutes_with_more_jobs_than_may_run(machine: Machine, workspace: Workspace) -> None:
    jobs = [{"job_id": f"at-nine-{n}", "command": ["true"], "schedule": "0 9 * * *"} for n in range(3)]
    workspace.write_jobs(*jobs, {"job_id": "later", "command": ["true"], "schedule": "1 9 * * *"})
    answer(machine, "sync-jobs", "--allow-removals")
    machine.environ["PURUTO_CRON_MAX_RUNNING"] = "2"
    found = simulated(machine, "2026-03-02T00:00+00:00", "2026-03-03T00:00+00:00")
    names = [job["job_id"] for job in jobs]
    assert found["collisions"] == [{"minute": "2026-03-02T09:00:00+00:00", "count": 3, "jobs": names}]
    assert [slot["together"] for slot in found["slots"]] == [3, 3, 3, 1]
    machine.environ["PURUTO_CRON_MAX_RUNNING"] = "3"
    assert simulated(machine, "2026-03-02T00:00+00:00", "2026-03-03T00:00+00:00")["collisions"] == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-02T00:00", "2026-03-02T00:00"),
        ("2026-03-02T00:00", "2026-03-01T00:00"),
        ("2026-03-02T00:00", "2029-01-01T00:00"),
        ("soon", "2029-01-01T00:00"),
        ("2026-03-02T00:00", "0001-01-01T00:00+23:59"),
    ],
)
def test_an_invalid_span_is_refused(machine: Machine, start: str, end: str) -> None:
    with pytest.raises(UsageError):
        machine.run("simulate", "--from", start, "--to", end)


def test_simulate_of_a_job_that_does_not_exist_is_an_error(machine: Machine) -> None:
    with pytest.raises(JobNotFound):
        machine.run("simulate", "--from", "2026-03-02T00:00", "--to", "2026-03-03T00:00", "--job", "nobody")


# --- next ---


def test_next_shows_no_slot_before_the_end_of_a_pause_and_says_so(machine: Machine, workspace: Workspace) -> None:
    daily = {"command": ["true"], "schedule": "0 9 * * *", "timezone": "UTC"}
    workspace.write_jobs(
        {**daily, "job_id": "a"}, {**daily, "job_id": "b", "paused_until": "2026-03-01T00:00:00+00:00"}
    )
    answer(machine, "sync-jobs", "--allow-removals")
    end = "2026-03-01T00:00:00+00:00"
    one = answer(machine, "next", "b", "--count", "2")
    assert [instant["utc"] for instant in one["instants"]] == ["2026-03-01T09:00:00+00:00", "2026-03-02T09:00:00+00:00"]
    assert end in one["note"]
    fleet = answer(machine, "next", "--count", "5")
    assert [instant["job_id"] for instant in fleet["instants"]] == ["a", "a", "a", "a", "b"]
    assert f"b until {end}" in fleet["note"]
    later = answer(machine, "next", "b", "--after", "2026-03-01T12:00+00:00", "--count", "1")
    assert later["instants"][0]["utc"] == "2026-03-02T09:00:00+00:00"
    assert "note" not in later
    assert "note" not in answer(machine, "next", "a")
    simulated_slots = simulated(machine, "2026-02-25T20:00+00:00", "2026-03-02T12:00+00:00", "--job", "b")["slots"]
    assert [slot["utc"] for slot in simulated_slots] == [instant["utc"] for instant in one["instants"]]


@pytest.mark.slow
def test_output_that_is_too_long_is_cut_with_a_note(machine: Machine, workspace: Workspace) -> None:
    workspace.write_jobs({"job_id": "each", "command": ["true"], "schedule": "* * * * *"})
    answer(machine, "sync-jobs", "--allow-removals")
    found = simulated(machine, "2026-03-02T00:00", "2026-06-02T00:00")
    assert (found["truncated"], found["per_job"]["each"]) == (True, 100_000)


# --- tables ---

VIEWS = [("list",), ("status",), ("logs",), ("next",), ("history",)]


@pytest.fixture
def odd(workspace: Workspace) -> Workspace:
    """A job that prints what would move a cursor, and one that fails with wide characters."""
    workspace.add_target(invoke=None)
    workspace.ready(
        {"job_id": "odd", "schedule": "0 9 * * *", "timezone": "Europe/Madrid",
         "command": ["printf", "\\033[2J\\033[31m[bold]red\\a\\n日本語 %s", "x" * 300]},
        {"job_id": "wide", "schedule": "0 9 * * *",
         "command": ["sh", "-c", "echo 日本語のエラー >&2; exit 3"]},
    )  # fmt: skip
    workspace.json("run-now", "odd")
    workspace.json("run-now", "wide", code=1)
    return workspace


@pytest.mark.process
@pytest.mark.parametrize("words", VIEWS)
def test_a_table_has_no_control_characters_where_there_is_no_terminal(odd: Workspace, words: tuple[str, ...]) -> None:
    done = odd.run(*words, "--text")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert "odd" in text
    assert not any(char < " " and char != "\n" for char in text)
    wanted = {"PURUTO_CRON_FORMAT": "text"}
    assert odd.run(*words, env=wanted).stdout.decode().split()[:2] == text.split()[:2]
    assert odd.json(*words, "--json", env=wanted)["status"] == "ok"


@pytest.mark.process
def test_tables_tell_local_time_and_relative_time(odd: Workspace) -> None:
    odd.sql("UPDATE jobs SET next_run_at = '2026-07-01T07:00:00+00:00' WHERE job_id = 'odd'")
    text = odd.run("list", "--text").stdout.decode()
    assert "1 Jul" in text
    assert "09:00" in text
    assert " ago" in text
    assert "Europe/Madrid" in text
    assert "[bold]red" in odd.run("logs", "--text").stdout.decode(), "no markup of ours"


@pytest.mark.process
def test_a_table_has_colours_only_on_a_terminal_that_wants_them(odd: Workspace) -> None:
    for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with on_terminal(odd, "history", "--text", env=environ) as (terminal, process):
            assert process.wait(timeout=PATIENCE) == 0
            text = terminal.wait_for("NONZERO_EXIT")
        assert ("\x1b[32m" in text) is coloured
        assert "\x1b[2J" not in text


def test_instants_of_the_past_and_the_future_in_words() -> None:
    from render.words import duration, relative, span

    now = datetime(2026, 2, 25, 20, 0, tzinfo=UTC)
    assert relative("2026-02-25T20:00:00+00:00", now) == "now"
    assert relative("2026-02-25T21:01:00+00:00", now) == "in 1 h 1 min"
    assert relative("2026-02-20T20:00:00+00:00", now) == "5 d ago"
    assert (span(59), span(3600), span(0)) == ("59 s", "1 h", "0 s")
    assert (duration(824), duration(3_200), duration(725_000), duration(None)) == ("824 ms", "3.2 s", "12 min 5 s", "")


def test_a_file_of_a_run_that_can_not_be_read_is_named_and_the_rest_is_shown(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = machine.run("list")[1]["jobs"][0]["job_id"]
    run_id = machine.run("run-now", job_id, "--force")[1]["run_id"]
    real = Path.open

    def refusing(path: Path, *args: Any, **options: Any) -> Any:
        if path.suffix == ".stdout":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(Path, "open", refusing)
    for words in (("show", run_id), ("logs", "--run", run_id)):
        code, report = machine.run(*words)
        problems = {file["file"].rpartition(".")[2]: file.get("problem", "") for file in report["output"]}
        assert code == 0
        assert "can't be read: Permission denied" in problems.pop("stdout")
        assert set(problems.values()) == {""}
