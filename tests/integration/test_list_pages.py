"""`list` a page at a time: by name, going on behind the last one, whatever happened to it meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support_machine import COUNT, prepare, shell
from tests.workspace import Workspace

pytestmark = pytest.mark.process

NAMES = [f"job-{number}" for number in range(7)]


@pytest.fixture
def jobs(workspace: Workspace) -> Workspace:
    """Seven jobs, the last of which has run."""
    prepare(workspace, *(shell(COUNT, job_id=name) for name in NAMES))
    workspace.json("run-now", NAMES[-1])
    return workspace


def _names(answer: dict[str, Any]) -> list[str]:
    return [job["job_id"] for job in answer["jobs"]]


def test_pages_hold_together_what_the_whole_list_holds(jobs: Workspace) -> None:
    whole = jobs.json("list")
    found, page = [], jobs.json("list", "--limit", "3")
    while True:
        found += page["jobs"]
        if page["next_page"] is None:
            break
        page = jobs.json("list", "--limit", "3", "--after", page["next_page"])
    assert found == whole["jobs"]
    assert found[-1]["last_run"]["status"] == "ok"


def test_a_list_without_a_page_says_nothing_of_pages(jobs: Workspace) -> None:
    assert set(jobs.json("list")) == {"status", "jobs", "warnings"}


@pytest.mark.parametrize(
    ("words", "names", "following"),
    [
        (("--limit", "3"), NAMES[:3], "job-2"),
        (("--limit", "7"), NAMES, None),
        (("--limit", "8"), NAMES, None),
        (("--after", "job-4"), NAMES[5:], None),
        (("--after", "job-6"), [], None),
        (("--limit", "1", "--after", "job-5"), NAMES[6:], None),
        (("--limit", "1", "--after", "job-4"), NAMES[5:6], "job-5"),
        (("--limit", "2", "--after", "a name that never was"), NAMES[:2], "job-1"),
    ],
)
def test_a_page_says_what_follows(jobs: Workspace, words: tuple[str, ...], names: list[str], following: object) -> None:
    answer = jobs.json("list", *words)
    assert (_names(answer), answer["next_page"]) == (names, following)


def test_a_page_continues_after_a_job_that_was_removed_meanwhile(jobs: Workspace) -> None:
    page = jobs.json("list", "--limit", "2")
    jobs.write_jobs(*(shell(COUNT, job_id=name) for name in NAMES if name not in ("job-1", "job-3")))
    jobs.json("sync-jobs", "--allow-removals")
    answer = jobs.json("list", "--limit", "2", "--after", page["next_page"])
    assert (_names(answer), answer["next_page"]) == (["job-2", "job-4"], "job-4")


@pytest.mark.parametrize("limit", ["0", "-1", "x", "100001"])
def test_an_invalid_limit_is_refused(jobs: Workspace, limit: str) -> None:
    assert jobs.json("list", "--limit", limit, code=2)["error"]["code"] == "USAGE"


def test_the_secret_of_a_job_on_a_page_is_masked(workspace: Workspace) -> None:
    prepare(workspace, shell(COUNT, job_id="a"), shell(COUNT, job_id="b", env={"API_TOKEN": "s3cr3t-value"}))
    done = workspace.run("list", "--limit", "1", "--after", "a")
    assert b'"b"' in done.stdout
    assert b"s3cr3t-value" not in done.stdout
