"""The environment of a child: what it inherits, what its job gives it, and what is ours."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from core.invocation import Invocation
from system import processes

_INHERITED = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Names that start so are ours: no job can set them.
OURS = "PURUTO_CRON_"


def child_environment(
    variables: Mapping[str, str], invocation: Invocation, request_file: str | Path, runner_env: Mapping[str, str]
) -> dict[str, str]:
    """All that a child sees. Source: docs/design.md "A target".

    Later ones win: what is inherited, the job's `env`, what its runner needs, the variables named by `allow_env` as far
    as they are set, ours.
    """
    found = {name: variables[name] for name in _INHERITED if name in variables}
    for name, value in _account().items():
        # Empty counts as missing: a HOME of "" sends programs to the current folder.
        found[name] = found.get(name) or value
    found.update(invocation.env)
    found.update(runner_env)
    found.update({name: variables[name] for name in invocation.allow_env if name in variables})
    found = {name: value for name, value in found.items() if not name.startswith(OURS)}
    request = invocation.request
    found.update(processes.marks(invocation.run_id, invocation.run_folder))
    if around := processes.lineage(variables):
        found[processes.RUN_FOLDERS] = around
    found[OURS + "SLOT"] = invocation.scheduled_for
    found[OURS + "ATTEMPT"] = str(invocation.attempt)
    found[OURS + "REQUEST_ID"] = request.request_id
    found[OURS + "CORRELATION_ID"] = request.correlation_id
    found[OURS + "HOP"] = str(request.hop)
    found[OURS + "REQUEST_FILE"] = str(request_file)
    if invocation.job_id:
        found[OURS + "JOB_ID"] = invocation.job_id
    return found


@functools.cache
def _account() -> dict[str, str]:
    """What a login would have set: cron leaves some of it out."""
    import pwd

    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:
        return {"HOME": "/", "SHELL": "/bin/sh", "PATH": _DEFAULT_PATH}
    return {
        "HOME": account.pw_dir or "/",
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh",
        "PATH": _DEFAULT_PATH,
    }
