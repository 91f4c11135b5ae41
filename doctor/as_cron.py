"""The same checks in cron's environment: runs `doctor --json` there and compares the findings."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.shell import quoted
from doctor.findings import SEVERITIES, Finding, error, fine
from doctor.programs import Answer
from doctor.scene import Scene
from doctor.starter import line_here
from install.crontab_machine import cron_environment

SUBJECT = "as cron"
_SECONDS = 120.0
#: What a finding says of an agent's program, and of another one, that was not found.
_MISSING = re.compile(r"\bno program ([\w.-]+) was found|(?:^|[ :])([\w.+-]+) was not found in PATH")


@dataclass(frozen=True)
class Report:
    """The report of `doctor --json` under cron: its findings, and the paths that it uses."""

    findings: Sequence[Finding]
    paths: Mapping[str, object] = dataclasses.field(default_factory=dict)


def under_cron(scene: Scene, here: Sequence[Finding], paths: Mapping[str, str]) -> list[Finding]:
    """The findings that appear only under cron and not in `here`, and the `paths` that differ there.

    Interpreter and variables are those of the crontab's line; without a line, this interpreter is used.
    """
    line = line_here(scene)
    interpreter = line.interpreter if line is not None and line.interpreter else sys.executable
    environ = {**cron_environment(), **(line.environ if line is not None else {})}
    argv = [interpreter, str(scene.root / "main.py"), "doctor", "--json"]
    report = read(scene.ask(argv, environ, environ["HOME"], _SECONDS), interpreter)
    seen_here = {(finding.code, finding.subject) for finding in here}
    findings = [finding for finding in report.findings if (finding.code, finding.subject) not in seen_here]
    findings = [finding for finding in findings if finding.severity != "ok"] + list(other_paths(paths, report.paths))
    if not findings:
        return [fine(SUBJECT, f"{interpreter} finds nothing else in cron's environment")]
    path = scene.app.environ.get("PATH")
    return [dataclasses.replace(finding, fix=_fix(finding, path), only_under_cron=True) for finding in findings]


def _fix(finding: Finding, path: str | None) -> str:
    """What to do; of a program that is on the PATH of this shell, where it is."""
    missing = _MISSING.search(finding.message)
    found = shutil.which(missing[1] or missing[2], path=path) if missing else None
    if missing is None or found is None:
        return finding.fix
    if missing[1]:
        return f"Put this into .env: PURUTO_CRON_AGENT_PATH={quoted(os.path.dirname(found))}"
    return f"Use its absolute path: {quoted(found)}"


def other_paths(here: Mapping[str, str], under_cron: Mapping[str, object]) -> Iterator[Finding]:
    """Paths that a variable of this shell or of the crontab changes: the two would use different files."""
    for name in sorted(here.keys() & under_cron.keys() - {"interpreter"}):
        if here[name] != under_cron[name]:
            text = f"The {name} is {here[name]} here, but {under_cron[name]} under cron"
            yield error("OTHER_PATHS_UNDER_CRON", SUBJECT, text, "Set it in .env, not in the shell or the crontab.")


def read(answer: Answer, interpreter: str) -> Report:
    """The report in the output of `doctor --json`; if there is none, a report with one error."""
    if answer.code is None:
        return Report([_failed(interpreter, answer.reason)])
    try:
        report = json.loads(answer.out)
        if "findings" in report:
            return Report([_finding(entry) for entry in report["findings"]], report["paths"])
        failure = report["error"]
        hint = str(failure["details"].get("hint") or "")
        return Report([error(str(failure["code"]), SUBJECT, f"{interpreter}: {failure['message']}", hint)])
    except (ValueError, KeyError, TypeError, AttributeError):
        output = (answer.err.strip() or answer.out.strip())[-400:]
        return Report([_failed(interpreter, f"exit code {answer.code}, {output}")])


def _finding(entry: Mapping[str, object]) -> Finding:
    (severity,) = [name for name in SEVERITIES if name == entry["severity"]]
    return Finding(
        str(entry["code"]), severity, str(entry["subject"]), str(entry["message"]), str(entry.get("cure") or "")
    )


def _failed(interpreter: str, reason: str) -> Finding:
    text = f"{interpreter} can't run doctor in cron's environment: {reason}"
    return error("AS_CRON_FAILED", SUBJECT, text, "Name an interpreter in the crontab that has the libraries.")
