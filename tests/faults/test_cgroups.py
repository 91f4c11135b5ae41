"""A cgroup of the daemon's own: after a kill -9, what hides from marks and session is found by it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from system import cgroups
from system.process_table import ProcTable
from tests.support_daemon import NEVER, daemon, wait_for_rows
from tests.support_machine import shell
from tests.workspace import Workspace, is_running, wait_for

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not cgroups.where()[0], reason=f"no cgroup may be made here: {cgroups.where()[1]}"),
]

#: Leaves a process with another session, no parent, no mark and no output.
HIDES = "env -i setsid sh -c 'echo $$ > hidden.new; mv hidden.new hidden; exec sleep 7777' >/dev/null 2>&1 & sleep 7777"


def hidden(workspace: Workspace) -> int:
    path = workspace.home / "puruto-target" / "hidden"
    wait_for(path.exists, what="the hidden process")
    return int(path.read_text())


@pytest.mark.parametrize("switch", ["1", "0"])
def test_a_process_that_hides_is_found_after_the_daemon_was_killed(workspace: Workspace, switch: str) -> None:
    workspace.add_target(invoke=None)
    workspace.ready(shell(HIDES))
    with daemon(workspace, {**NEVER, "PURUTO_CRON_CGROUPS": switch}) as there:
        there.make_due()
        pid = hidden(workspace)
        group = ProcTable().group(pid)
        there.process.kill()
        there.process.wait()
    try:
        assert is_running(pid)
        workspace.sql("UPDATE runs SET lease_expires_at = '2000-01-01T00:00:00+00:00'")
        workspace.json("tick")
        wait_for_rows(workspace, "job-0", "interrupted")
        assert is_running(pid) == (switch == "0")
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)
    if switch == "1":
        # The next daemon removes what is left of it.
        folder = Path(cgroups.where()[0], group.rpartition("/")[2])
        with daemon(workspace, NEVER) as there:
            assert not folder.exists()
            own = ProcTable().group(there.pid)
            assert own.rpartition("/")[2].startswith(f"puruto-cron.{there.pid}.")
            there.signal(signal.SIGTERM)
            assert there.wait() == 0
        assert not Path(cgroups.where()[0], own.rpartition("/")[2]).exists()
