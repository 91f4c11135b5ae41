"""A job that gets another name, in the file or by `rename-job`: all that is stored about it comes along."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.errors import CronError
from tests.support_machine import COUNT, Machine, prepare, shell
from tests.workspace import FakeClock, Workspace, ended, wait_for

MINUTELY = {"schedule": "* * * * *"}
TABLES = ("jobs", "runs", "events", "sessions", "spending", "refusals_reported")


@pytest.fixture
def machine(workspace: Workspace, clock: FakeClock) -> Machine:
    return Machine(workspace, clock)


def job(job_id: str, **fields: object) -> dict[str, object]:
    return {"job_id": job_id, **shell(COUNT, **{**MINUTELY, **fields})}


def refusal(machine: Machine, *words: str) -> CronError:
    with pytest.raises(CronError) as caught:
        machine.run(*words)
    return caught.value


def names(workspace: Workspace) -> dict[str, list[str]]:
    """The names of jobs in each table."""
    return {table: sorted({row["job_id"] for row in workspace.sql(f"SELECT job_id FROM {table}")}) for table in TABLES}


def with_history(machine: Machine, **fields: object) -> dict[str, Any]:
    """A job `old` that has run, spent and told; its row."""
    machine.ready(job("old", **fields), job("other", schedule="@yearly"))
    machine.clock.advance(minutes=2)
    machine.tick()
    workspace = machine.workspace
    workspace.sql("INSERT INTO spending (job_id, day, runs, cost_usd) VALUES ('old', '2026-01-01', 3, 1.5)")
    workspace.sql("INSERT INTO refusals_reported (job_id, day, code) VALUES ('old', '2026-01-01', 'COST_LIMIT')")
    workspace.sql("INSERT INTO sessions (job_id, runner, session_id, summary, run_id, updated_at)"
                  " VALUES ('old', 'claude', 's', 'said', 'r', '2026-01-01T00:00:00+00:00')")  # fmt: skip
    (row,) = workspace.sql("SELECT * FROM jobs WHERE job_id = 'old'")
    return row


def check_history(machine: Machine, before: dict[str, Any]) -> None:
    """All of `old` belongs to `new`, the cursor is the same, and the account of slots has no gap and no double."""
    workspace = machine.workspace
    found = names(workspace)
    assert all("old" not in jobs for jobs in found.values()), found
    assert all("new" in jobs for jobs in found.values()), found
    (row,) = workspace.sql("SELECT * FROM jobs WHERE job_id = 'new'")
    kept = ("next_run_at", "last_run_at", "anchor_at", "paused_at", "consecutive_failures", "enabled")
    assert {name: row[name] for name in kept} == {name: before[name] for name in kept}
    assert json.loads(row["definition_json"])["job_id"] == "new"
    assert {event["job_id"] for event in workspace.events()} == {"old"}, "what was told stays as it was told"
    machine.clock.advance(minutes=1)
    machine.tick()
    slots = sorted(run["scheduled_for"] for run in workspace.runs("new") if run["scheduled_for"])
    assert len(slots) == len(set(slots)) >= 2
    last = machine.run("history", "new")[1]["runs"][-1]["run_id"]
    assert last.startswith("old-")
    shown = machine.run("show", last)[1]
    assert shown["output"], "its output is found where it was written"
    assert machine.run("logs", "--run", last)[1]["output"]


def test_a_rename_in_the_file_is_seen_as_one(machine: Machine, workspace: Workspace) -> None:
    before = with_history(machine)
    workspace.write_jobs(job("new"), job("other", schedule="@yearly"))
    report = machine.run("sync-jobs")[1]
    assert report["renamed"] == [{"from": "old", "to": "new"}]
    assert (report["added"], report["removed"], report["changed"], report["unchanged"]) == ([], [], [], ["other"])
    assert (report["synced_jobs"], report["next"]) == (2, {})
    check_history(machine, before)
    assert machine.run("sync-jobs")[1]["unchanged"] == ["new", "other"]


def test_a_tick_sees_it_too_and_loses_no_slot(machine: Machine, workspace: Workspace) -> None:
    with_history(machine)
    workspace.write_jobs(job("new"))
    machine.clock.advance(minutes=1)
    report = machine.tick()
    assert report["sync"]["renamed"] == [{"from": "old", "to": "new"}]
    assert report["due_jobs"] == ["new"]
    assert len(workspace.starts()) == 2


def test_ones_only_job_can_be_renamed_and_back(machine: Machine, workspace: Workspace) -> None:
    machine.ready(job("old"))
    machine.clock.advance(minutes=2)
    machine.tick()
    for new in ("new", "old"):
        workspace.write_jobs(job(new))
        assert machine.run("sync-jobs")[1]["renamed"][0]["to"] == new
    assert machine.run("history", "old")[1]["runs"]


def test_a_rename_with_another_change_is_a_removal_and_a_new_job(machine: Machine, workspace: Workspace) -> None:
    with_history(machine)
    workspace.write_jobs(job("new", timeout_sec=7), job("other", schedule="@yearly"))
    report = machine.run("sync-jobs")[1]
    assert (report["renamed"], report["added"], report["removed"]) == ([], ["new"], ["old"])


@pytest.mark.parametrize(("old", "new"), [(["a", "b"], ["c"]), (["a"], ["b", "c"]), (["a", "b"], ["c", "d"])])
def test_what_can_not_be_told_is_not_guessed_and_said(machine: Machine, old: list[str], new: list[str]) -> None:
    machine.ready(*map(job, old))
    machine.workspace.write_jobs(*map(job, new))
    report = machine.run("sync-jobs")[1]
    assert (report["renamed"], report["added"], report["removed"]) == ([], new, old)
    (warning,) = [warning for warning in report["warnings"] if warning["code"] == "RENAME_AMBIGUOUS"]
    assert all(name in warning["message"] for name in [*old, *new])


def test_a_name_with_a_history_of_its_own_is_not_mixed_with_another(machine: Machine, workspace: Workspace) -> None:
    machine.ready(job("old"), job("new", timeout_sec=9))
    machine.clock.advance(minutes=2)
    machine.tick()
    workspace.write_jobs(job("old"))
    machine.run("sync-jobs")
    assert refusal(machine, "rename-job", "old", "new").code == "JOB_NAME_USED"
    assert json.loads((workspace.root / ".jobs.json").read_text())["jobs"][0]["job_id"] == "old"
    workspace.write_jobs(job("new"))
    report = machine.run("sync-jobs")[1]
    assert (report["renamed"], report["removed"]) == ([], ["old"])
    assert "RENAME_NAME_USED" in [warning["code"] for warning in report["warnings"]]


def test_a_name_that_was_removed_before_it_ever_ran_is_free(machine: Machine, workspace: Workspace) -> None:
    machine.ready(job("old"), job("new", schedule="@yearly"))
    workspace.write_jobs(job("old"))
    machine.run("sync-jobs")
    assert machine.run("rename-job", "old", "new")[1]["synced"] is True
    assert [row["job_id"] for row in workspace.sql("SELECT job_id FROM jobs")] == ["new"]


def test_rename_job_edits_the_file_and_the_database(machine: Machine, workspace: Workspace) -> None:
    before = with_history(machine)
    text = (workspace.root / ".jobs.json").read_text()
    dry = machine.run("rename-job", "old", "new", "--dry-run")[1]
    assert (dry["renamed"], (workspace.root / ".jobs.json").read_text()) == ([{"from": "old", "to": "new"}], text)
    report = machine.run("rename-job", "old", "new")[1]
    assert (report["job_id"], report["entry"]["job_id"], report["synced"]) == ("new", "new", True)
    assert (workspace.root / ".jobs.json").read_text() == text.replace('"old"', '"new"', 1)
    check_history(machine, before)


def test_rename_job_takes_along_what_else_was_changed_in_the_file(machine: Machine, workspace: Workspace) -> None:
    with_history(machine)
    workspace.write_jobs(job("old", timeout_sec=7), job("copy", timeout_sec=7), job("other", schedule="@yearly"))
    machine.run("rename-job", "old", "new")
    assert names(workspace)["jobs"] == ["copy", "new", "other"]
    assert machine.run("history", "new")[1]["runs"]


def test_a_job_paused_for_its_failures_stays_paused(machine: Machine, workspace: Workspace) -> None:
    fails = {**shell("exit 1", schedule="* * * * *", pause_after_failures=1), "job_id": "old"}
    machine.ready(fails)
    machine.clock.advance(minutes=2)
    machine.tick()
    machine.run("rename-job", "old", "new")
    (listed,) = machine.run("list")[1]["jobs"]
    assert (listed["job_id"], listed["paused"] is not None, listed["enabled"]) == ("new", True, False)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nobody", "new"), "JOB_NOT_FOUND"),
        (("old", "other"), "DUPLICATE_JOB"),
        (("old", "old"), "USAGE"),
        (("old", "../new"), "JOBS_FILE_INVALID"),
        (("old", ""), "JOBS_FILE_INVALID"),
    ],
)
def test_a_rename_that_is_refused_changes_nothing(
    machine: Machine, workspace: Workspace, words: tuple[str, str], code: str
) -> None:
    machine.ready(job("old"), job("other"))
    text, rows = (workspace.root / ".jobs.json").read_text(), workspace.sql("SELECT * FROM jobs")
    assert refusal(machine, "rename-job", *words).code == code
    assert ((workspace.root / ".jobs.json").read_text(), workspace.sql("SELECT * FROM jobs")) == (text, rows)


@pytest.mark.process
def test_a_run_that_is_on_ends_under_the_new_name(workspace: Workspace) -> None:
    script = "while [ ! -e release ]; do sleep 0.05; done; echo done"
    prepare(workspace, {**shell(script), "job_id": "old"})
    with ended(workspace.start("run-now", "old")) as process:
        wait_for(lambda: workspace.sql("SELECT 1 FROM runs WHERE child_pid IS NOT NULL"), what="the run")
        assert workspace.json("rename-job", "old", "new")["synced"] is True
        refused = workspace.json("run-now", "new", code=1)
        assert refused["error"]["code"] == "JOB_LOCKED", "it runs once at a time under both names"
        (workspace.home / "puruto-target" / "release").touch()
        out, _ = process.communicate()
    assert json.loads(out)["status"] == "ok"
    (run,) = workspace.runs()
    assert (run["job_id"], run["status"]) == ("new", "ok")
    (row,) = workspace.sql("SELECT * FROM jobs")
    assert (row["job_id"], row["lease_owner"]) == ("new", None)
    assert workspace.json("show", run["run_id"])["output"]


# --- removals ---


def removed(machine: Machine, *kept: int, used: int, unused: int = 0, disabled: int = 0) -> Any:
    """Syncs a file without most of its jobs: first those that have run, then new ones, then disabled ones."""
    jobs = [
        job(f"job-{number}", schedule="@yearly", timeout_sec=number + 1, enabled=number < used + unused)
        for number in range(used + unused + disabled)
    ]
    machine.ready(*jobs)
    never = f"cast(substr(job_id, 5) AS INTEGER) BETWEEN {used} AND {used + unused - 1}"
    machine.workspace.sql(f"UPDATE jobs SET last_run_at = '2026-01-01T00:00:00+00:00' WHERE NOT {never}")
    machine.workspace.write_jobs(*(jobs[number] for number in kept))
    return machine.run("sync-jobs")[1]


@pytest.mark.parametrize(
    "numbers", [{"used": 3}, {"used": 3, "unused": 5}, {"used": 3, "disabled": 5}, {"used": 0, "unused": 9}]
)
def test_few_jobs_and_jobs_that_do_nothing_may_go(machine: Machine, numbers: dict[str, int]) -> None:
    assert len(removed(machine, **numbers)["removed"]) == sum(numbers.values())


def test_half_of_the_jobs_in_use_may_go(machine: Machine) -> None:
    assert len(removed(machine, 0, 1, 2, 3, used=8)["removed"]) == 4


@pytest.mark.parametrize("numbers", [{"used": 4}, {"used": 4, "unused": 20}, {"used": 4, "disabled": 20}])
def test_most_of_the_jobs_in_use_may_not(machine: Machine, numbers: dict[str, int]) -> None:
    kept = range(4, sum(numbers.values()))
    with pytest.raises(CronError) as caught:
        removed(machine, *kept, **numbers)
    assert caught.value.code == "REMOVALS_REFUSED"


def test_a_rename_in_the_file_is_a_change(machine: Machine) -> None:
    machine.ready(job("old"))
    machine.workspace.write_jobs(job("new"))
    text = machine.printed("sync-jobs", "--text")[1]
    assert "old to new" in text
    assert "Nothing changed" not in text
