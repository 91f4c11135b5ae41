"""Commands that read never wait: not for running jobs, not for a writer; and large answers arrive whole."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing

import pytest

from tests.support_machine import COUNT, GATED, JOB_COLUMNS, answer_of, gated_tick, prepare, release, shell
from tests.workspace import PATIENCE, Workspace, ended

pytestmark = pytest.mark.process

READING = (("status",), ("list",), ("logs",), ("next",), ("next", "job-0"))


def test_reading_commands_answer_while_a_job_runs_and_another_process_writes(workspace: Workspace) -> None:
    prepare(workspace, shell(GATED), shell(COUNT, job_id="other"))
    workspace.json("run-now", "other")
    workspace.make_due("job-0")
    with gated_tick(workspace) as (tick, row):
        with closing(sqlite3.connect(workspace.database, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("UPDATE jobs SET prompt = 'half written'")
            answers = [answer_of(process) for process in [workspace.start(*words) for words in READING]]
            logs = workspace.json("logs", "--run", row["run_id"])
            writer.execute("ROLLBACK")
        assert [answer["status"] for answer in answers] == ["ok"] * len(READING)
        assert [running["run_id"] for running in answers[0]["running"]] == [row["run_id"]]
        assert [job["prompt"] for job in answers[1]["jobs"]] == ["Do it", "Do it"]
        assert logs["run"]["status"] == "running"
        release(workspace)
        answer_of(tick)


def test_status_shows_what_the_contract_says(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT), shell("exit 1", job_id="bad"))
    workspace.json("run-now", "job-0")
    workspace.json("run-now", "bad", code=1)
    status = workspace.json("status")
    assert set(status) >= {"jobs", "recent_runs", "notification_targets"}
    assert [job["job_id"] for job in status["jobs"]] == ["bad", "job-0"]
    assert all(set(job) >= JOB_COLUMNS for job in status["jobs"])
    assert {frozenset(run) for run in status["recent_runs"]} == {
        frozenset(("run_id", "job_id", "started_at", "finished_at", "status"))
    }
    assert sorted(run["status"] for run in status["recent_runs"]) == ["error", "ok"]
    assert status["notification_targets"] == {
        "local_events": "notifications/events.jsonl",
        "telegram_outbox": "../puruto-telegram/inbox/cron-events.jsonl",
        "telegram_repo_exists": False,
    }
    assert status["paths"]["database"] == str(workspace.database)
    assert status["paths"]["jobs_file"] == str(workspace.root / ".jobs.json")


@pytest.fixture
def large(workspace: Workspace) -> Workspace:
    """A workspace whose `list` is several times as large as a pipe."""
    prepare(workspace, *(shell(COUNT, prompt=f"{n} " + "¡" * 9000) for n in range(30)))
    return workspace


def test_a_large_answer_arrives_whole_through_a_pipe(large: Workspace) -> None:
    done = large.run("list")
    assert len(done.stdout) > 4 * 65_536
    assert done.stdout.endswith(b"}\n")
    assert len(json.loads(done.stdout)["jobs"]) == 30


@pytest.mark.parametrize("words", [("list",), ("status",)], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_error(large: Workspace, words: tuple[str, ...]) -> None:
    with ended(large.start(*words)) as process:
        assert process.stdout is not None
        with ended(subprocess.Popen(["head", "-c", "9"], stdin=process.stdout, stdout=subprocess.PIPE)) as head:
            process.stdout.close()
            process.stdout = None
            seen, _ = head.communicate(timeout=PATIENCE)
            _, err = process.communicate(timeout=PATIENCE)
    assert (len(seen), err, process.returncode) == (9, b"", 0)


def test_logs_shows_events_and_what_a_run_printed(workspace: Workspace) -> None:
    prepare(workspace, shell("echo out; echo err >&2; exit 1"), shell(COUNT, job_id="other"))
    failed = workspace.json("run-now", "job-0", code=1)["run_id"]
    workspace.json("run-now", "other")
    assert [event["job_id"] for event in workspace.json("logs")["events"]] == ["job-0", "other"]
    assert [event["job_id"] for event in workspace.json("logs", "--limit", "1")["events"]] == ["other"]
    assert [event["run_id"] for event in workspace.json("logs", "--job", "job-0")["events"]] == [failed]
    one = workspace.json("logs", "--run", failed)
    assert (one["run"]["status"], one["run"]["error"]["code"]) == ("error", "NONZERO_EXIT")
    assert "lease_token" not in one["run"]
    text = {entry["path"].rpartition(".")[2]: entry for entry in one["output"]}
    assert {"stdout", "stderr"} <= set(text)
    assert "out\n" in json.dumps(text["stdout"]).replace("\\n", "\n")
    for words, code in ((("--run", "no-such-run"), "RUN_NOT_FOUND"), (("--job", "nobody"), "JOB_NOT_FOUND")):
        assert workspace.json("logs", *words, code=1)["error"]["code"] == code
