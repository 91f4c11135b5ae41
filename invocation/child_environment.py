"""The environment of a child process: inherited variables, those of its job and runner, and ours."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from core.invocation import Invocation
from system import processes

_INHERITED = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Variables with this prefix belong to the scheduler: no job can set them.
OURS = "PURUTO_CRON_"


def child_environment(
    variables: Mapping[str, str], invocation: Invocation, request_file: str | Path, runner_env: Mapping[str, str]
) -> dict[str, str]:
    """The complete environment of a child. Source: docs/design.md "A target".

    In this order, the later ones win: inherited variables, the job's `env`, those of the runner, those that `allow_env`
    names (if they are set), ours.
    """
    environ = {name: variables[name] for name in _INHERITED if name in variables}
    for name, value in _account().items():
        # Empty counts as missing: with HOME="" programs would use the current folder.
        environ[name] = environ.get(name) or value
    environ.update(invocation.env)
    environ.update(runner_env)
    environ.update({name: variables[name] for name in invocation.allow_env if name in variables})
    environ = {name: value for name, value in environ.items() if not name.startswith(OURS)}
    request = invocation.request
    environ.update(processes.marks(invocation.run_id, invocation.run_folder))
    if run_folders := processes.lineage(variables):
        environ[processes.RUN_FOLDERS] = run_folders
    environ[OURS + "SLOT"] = invocation.scheduled_for
    environ[OURS + "ATTEMPT"] = str(invocation.attempt)
    environ[OURS + "REQUEST_ID"] = request.request_id
    environ[OURS + "CORRELATION_ID"] = request.correlation_id
    environ[OURS + "HOP"] = str(request.hop)
    environ[OURS + "REQUEST_FILE"] = str(request_file)
    if invocation.job_id:
        environ[OURS + "JOB_ID"] = invocation.job_id
    return environ


@functools.cache
def _account() -> dict[str, str]:
    """The variables that a login sets; cron leaves some of them out."""
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
