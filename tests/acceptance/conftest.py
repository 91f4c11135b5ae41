"""A fresh clone of the project with an environment of its own, made once by `make`, as a stranger would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workspace import PROJECT


def stranger_environ(home: Path) -> dict[str, str]:
    """The environment of somebody who has a shell and nothing of ours."""
    keep = ("PATH", "LANG", "PIP_", "SSL_CERT", "REQUESTS_CA", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    environ = {name: value for name, value in os.environ.items() if name.upper().startswith(keep)}
    return {**environ, "HOME": str(home), "USER": "stranger"}


def files_of_the_project() -> list[str]:
    """The files that git knows, or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if name and (PROJECT / name).is_file()]


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, or would take, in ~/purutos/puruto-cron of an empty home."""
    folder = tmp_path_factory.mktemp("stranger") / "purutos" / "puruto-cron"
    for name in files_of_the_project():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def demo(clone: Path) -> str:
    """What `make demo` prints in the fresh clone, set-up included, beside a file of jobs that is somebody's own."""
    shipped = (clone / ".jobs.json").read_bytes()
    own = {"job_id": "mine", "puruto_target": "x", "schedule": "* * * * *", "prompt": "x", "command": ["touch", "/x"]}
    (clone / ".jobs.json").write_text(json.dumps({"jobs": [own]}) + "a typo", encoding="utf-8")
    done = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env=stranger_environ(clone.parent.parent),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (clone / ".jobs.json").write_bytes(shipped)
    return done.stdout
