"""Debian's cron and `import-crontab`, on the same crontab, side by side: what did each line do?"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.acceptance.test_readme import private_cron, reason_without_cron
from tests.integration.test_import_crontab import DONE, LINES
from tests.workspace import Workspace, wait_for


def done_in(home: Path) -> dict[str, str]:
    """What the lines left, without the name of the folder."""
    return {path.name: path.read_text().replace(str(home), "{home}") for path in home.iterdir()}


@pytest.mark.full
def test_debians_cron_and_an_imported_job_do_the_same(workspace: Workspace, tmp_path: Path) -> None:
    if reason := reason_without_cron():
        assert not os.environ.get("CI"), f"CI must run this test, but it {reason}"
        pytest.skip(reason)
    by_cron, by_us = workspace.home / "by cron", workspace.home / "by us"
    for home in (by_cron, by_us):
        home.mkdir()
        (tmp_path / home.name).write_text(LINES % home)
    install = f"crontab {shlex.quote(str(tmp_path / by_cron.name))}"
    with private_cron(workspace.root, install, tmp_path / "cron.log") as cron:

        def all_done() -> bool:
            assert cron.poll() is None, (tmp_path / "cron.log").read_text()
            return done_in(by_cron) == DONE

        wait_for(all_done, what=f"the lines that cron runs: {DONE}", seconds=150)

    workspace.json("init-db")
    for new in workspace.json("import-crontab", str(tmp_path / by_us.name))["imported"]:
        assert workspace.json("run-now", new["job_id"], "--force")["status"] == "ok"
    assert done_in(by_us) == done_in(by_cron)
