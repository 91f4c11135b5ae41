"""`kill -9` at every named point between claim and delivered event: then a restart, and the ledger is asked."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from core import crash_points
from core.clock import utc_text
from store import last_tick
from tests import support_agents
from tests.support_ledger import LEDGER_TARGET, PAST, check, running, settle_all
from tests.support_machine import prepare
from tests.workspace import FOLDERS, PATIENCE, PROJECT, Workspace, ended, wait_for

HOOK = """
import os, signal
from core import crash_points
def hook(name, reached=[]):
    reached.extend([name] if name == {point!r} else [])
    if len(reached) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
crash_points.hook = hook
"""
FAILS_FIRST = LEDGER_TARGET + '[ "$PURUTO_CRON_ATTEMPT" -ge 2 ] && echo fine'
SLOW = LEDGER_TARGET + "n=0; while [ $n -lt 50 ] && [ ! -e release ]; do n=$((n+1)); sleep 0.1; done"


def job(script: str, **fields: object) -> dict[str, object]:
    return {"schedule": "@yearly", "command": ["/bin/sh", "-c", script], **fields}


def one_due(workspace: Workspace) -> tuple[str, ...]:
    """A due job that fails once and then succeeds, and another: all points of a slot's life."""
    workspace.add_target("puruto-telegram", invoke=None)
    prepare(workspace, job(FAILS_FIRST, max_retries=1, retry_backoff_sec=0), job(LEDGER_TARGET + "echo fine"))
    workspace.make_due()
    return ("tick",)


def by_hand(workspace: Workspace) -> tuple[str, ...]:
    one_due(workspace)
    return ("run-now", "job-1")


def long_enough_to_renew(workspace: Workspace) -> tuple[str, ...]:
    one_due(workspace)
    prepare(workspace, job(SLOW))
    workspace.make_due()
    workspace.environ["PURUTO_CRON_LEASE_SECONDS"] = "5"
    return ("tick",)


def left_by_the_dead(workspace: Workspace) -> tuple[str, ...]:
    """A run whose scheduler was killed, to be settled and made up for."""
    workspace.add_target("puruto-telegram", invoke=None)
    prepare(workspace, job(SLOW, retry_interrupted=True))
    workspace.make_due()
    kill_at(workspace, "child.noted", ("tick",))
    workspace.sql("UPDATE runs SET lease_expires_at = ? WHERE status = 'running'", (PAST,))
    workspace.sql("UPDATE jobs SET next_run_at = '2099-01-01T00:00:00+00:00'")
    (workspace.home / "puruto-target" / "release").touch()
    return ("tick",)


def an_edit(workspace: Workspace) -> tuple[str, ...]:
    one_due(workspace)
    workspace.write_jobs(job(FAILS_FIRST, max_retries=1, retry_backoff_sec=0), job(LEDGER_TARGET + "echo"), job("true"))
    return ("sync-jobs",)


def an_old_database(workspace: Workspace) -> tuple[str, ...]:
    one_due(workspace)
    workspace.database.unlink()
    with closing(sqlite3.connect(workspace.database)) as connection:
        connection.executescript((PROJECT / "store" / "sql" / "0001_initial.sql").read_text(encoding="utf-8"))
        connection.executescript(f"PRAGMA user_version = 1; PRAGMA application_id = {0x5043524E}")
    return ("sync-jobs",)


def a_clock_that_was_ahead(workspace: Workspace) -> tuple[str, ...]:
    one_due(workspace)
    last_tick.touch(str(workspace.database), utc_text(datetime.now(UTC) + timedelta(hours=1)))
    return ("tick",)


def damaged(workspace: Workspace) -> tuple[str, ...]:
    one_due(workspace)
    workspace.json("tick")
    workspace.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    with workspace.database.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)
    return ("doctor", "--repair", "--json")


def too_much(workspace: Workspace) -> tuple[str, ...]:
    """Two runs more than are kept, and more output than there is room for."""
    prepare(workspace, job(LEDGER_TARGET + "head -c 700000 /dev/zero"))
    for _ in range(4):
        workspace.json("run-now", "job-0")
    workspace.environ.update(PURUTO_CRON_KEEP_RUNS="2", PURUTO_CRON_KEEP_OUTPUT_MB="1")
    return ("prune",)


def cleaned(workspace: Workspace) -> None:
    """After another `prune` each row that names its output has it, and no other output is there."""
    workspace.json("prune")
    named = {row["output_dir"] for row in workspace.runs() if row["output_dir"]}
    assert named == {str(path) for path in (workspace.root / "runs").glob("*/*")}
    assert (len(workspace.runs()), len(named)) == (2, 1)
    assert workspace.sql("SELECT count(*) AS n FROM events") == [{"n": 2}]
    assert len(workspace.events()) == 4, "what was told stays told"


def an_agent(workspace: Workspace) -> tuple[str, ...]:
    """A due job of an agent, each call of which costs a quarter of a dollar."""
    workspace.add_target("puruto-telegram", invoke=None)
    workspace.add_target()
    support_agents.install(workspace, "claude")
    workspace.ready(support_agents.agent_job("x"))
    workspace.make_due()
    return ("tick",)


SCENES: dict[str, Callable[[Workspace], tuple[str, ...]]] = {
    "manual_claim": by_hand,
    "retry_claim": left_by_the_dead,
    "renewal": long_enough_to_renew,
    "settle": left_by_the_dead,
    "sync": an_edit,
    "migration": an_old_database,
    "salvage": damaged,
    "clock_correction": a_clock_that_was_ahead,
    "spending": an_agent,
    "prune": too_much,
    "forget_output": too_much,
}


def kill_at(workspace: Workspace, point: str, words: tuple[str, ...], *, count: int = 1) -> None:
    """Starts a command that is killed when it reaches a point for the n-th time; fails if it never does."""
    process = workspace.start(*words, before=HOOK.format(point=point, count=count))
    with ended(process):
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == -9, f"{point} was not reached: {out!r} {err!r}"


def cancelled(workspace: Workspace, point: str) -> None:
    prepare(workspace, job(SLOW))
    workspace.make_due()
    with ended(workspace.start("tick")):
        (run,) = wait_for(lambda: [row for row in running(workspace) if row["child_pid"]], what="the run")
        kill_at(workspace, point, ("cancel", run["run_id"]))
        wait_for(lambda: not running(workspace), what="the end that was asked for")
    assert [row["status"] for row in workspace.runs()] == ["cancelled"]


@pytest.mark.parametrize("point", crash_points.POINTS)
def test_a_crash_at(workspace: Workspace, point: str) -> None:
    if point.startswith("cancel."):
        cancelled(workspace, point)
    else:
        words = SCENES.get(point.split(".")[0], one_due)(workspace)
        kill_at(workspace, point, words)
    if point.startswith(("prune.", "forget_output.")):
        return cleaned(workspace)
    (workspace.home / "puruto-target" / "release").touch()
    if point.startswith("salvage."):
        workspace.json("doctor", "--repair", "--json")
    if workspace.json("tick")["sync"] is None:
        workspace.json("sync-jobs", "--allow-removals")
    settle_all(workspace)
    if not point.startswith("salvage."):
        check(workspace)
    assert workspace.json("run-now", "job-0")["status"] == "ok"
    return None


#: Two runs of one tick end in the same moment, so that the permit of either is claimed in the commit of both verdicts.
SHARED = """
import os, signal, time
from core import crash_points
reached = []
def all_children_have_ended():
    pids = open(f"/proc/self/task/{{os.getpid()}}/children").read().split()
    return all(open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[0] == "Z" for pid in pids)
def hook(name):
    reached.append(name)
    if name == "child.noted" and reached.count(name) == 2:
        while not all_children_have_ended():
            time.sleep(0.005)
    in_group = reached.count("verdict.before_commit") == 2 and reached.count("claim.before_commit") == 3
    if name == {point!r} and in_group and reached.count("verdict.after_commit") == {stored}:
        os.kill(os.getpid(), signal.SIGKILL)
crash_points.hook = hook
"""


@pytest.mark.parametrize(
    ("point", "stored", "told"),
    [
        ("claim.before_commit", 0, ["interrupted", "interrupted", "ok"]),
        ("verdict.after_commit", 1, ["ok", "ok", "interrupted"]),
        ("verdict.after_commit", 2, ["ok", "ok", "interrupted"]),
        ("claim.after_commit", 2, ["ok", "ok", "interrupted"]),
    ],
)
def test_two_verdicts_and_a_claim_of_one_commit_are_stored_together_or_not_at_all(
    workspace: Workspace, point: str, stored: int, told: list[str]
) -> None:
    workspace.add_target("puruto-telegram", invoke=None)
    prepare(workspace, *[job(LEDGER_TARGET + "echo fine")] * 3)
    workspace.make_due()
    workspace.environ["PURUTO_CRON_MAX_RUNNING"] = "2"
    process = workspace.start("tick", before=SHARED.format(point=point, stored=stored))
    with ended(process):
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == -9, f"the commit was not shared: {out!r} {err!r}"
    rows = {row["job_id"]: row["status"] for row in workspace.runs()}
    assert sorted(rows.values()) == (["running"] * 2 if stored == 0 else ["ok", "ok", "running"])
    settle_all(workspace)
    check(workspace)
    assert sorted(row["status"] for row in workspace.runs()) == sorted(told)
    starts = (workspace.home / "puruto-target" / "starts.log").read_text().splitlines()
    assert len(starts) == (3 if stored == 0 else 2), "what was claimed and not begun is settled, not started again"


@pytest.mark.parametrize(("point", "cost"), [("spending.before_commit", 0), ("spending.after_commit", 0.25)])
def test_what_a_killed_run_has_used_counts_once_or_not_at_all(workspace: Workspace, point: str, cost: float) -> None:
    kill_at(workspace, point, an_agent(workspace))
    settle_all(workspace)
    (run,) = workspace.runs()
    assert (run["status"], run["cost_usd"] or 0) == ("interrupted", cost)
    assert sum(row["cost_usd"] for row in workspace.sql("SELECT cost_usd FROM spending")) == cost


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("point", ["append.half", "append.after", "delivered.after_commit", "verdict.after_commit"])
def test_a_crash_at_a_later_time(workspace: Workspace, point: str, count: int) -> None:
    words = one_due(workspace)
    process = workspace.start(*words, before=HOOK.format(point=point, count=count))
    with ended(process):
        process.communicate(timeout=PATIENCE)
    settle_all(workspace)
    check(workspace)


def test_the_points_are_documented_where_they_are_and_reached_by_their_names() -> None:
    """A name in the program that no test knows would be a point that no test reaches."""
    sources = [*PROJECT.glob("*.py"), *(path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    import re

    names = set(re.findall(r'crash_points\.point\("([a-z_.]+)"\)', text))
    names |= {f"{name}.{side}_commit" for name in re.findall(r'\.transaction\("([a-z_]+)"\)', text)
              for side in ("before", "after")}  # fmt: skip
    assert names == set(crash_points.POINTS)


def test_nothing_but_a_test_can_set_the_hook() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from core import crash_points; print(crash_points.hook, sorted(vars(crash_points)))"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("None ")
    assert "\nimport" not in (PROJECT / "core" / "crash_points.py").read_text(encoding="utf-8"), (
        "without os it sees no environment"
    )
