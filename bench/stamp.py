"""A program that first of all records the time, for jobs whose start is measured from outside."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.arena import PROJECT

#: Used without a compiler. The start of the shell, a millisecond or two, is then in all figures, also in the peers'.
_SHELL = """#!/bin/sh
now=$(date +%s%N)
echo "${2:--} $now" >> "$1"
"""


def build(folder: Path) -> Path:
    """The program, made in `folder`: called with FILE and NAME it appends `NAME NANOSECONDS` (since 1970) to FILE."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "stamp"
    source = str(PROJECT / "bench" / "stamp.c")
    compiler = shutil.which("cc")
    # A static program starts fastest, but not every machine has a static C library.
    for options in (["-static"], []) if compiler else ():
        command = [str(compiler), "-O2", *options, "-o", str(program), source]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return program
    program.write_text(_SHELL, encoding="utf-8")
    program.chmod(0o700)
    return program


def read(file: Path) -> list[tuple[str, float]]:
    """`(name, seconds since 1970)` of each start so far, in the order of the file; none if there is no file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [(name, int(instant) / 1e9) for name, instant in (line.split() for line in lines)]
