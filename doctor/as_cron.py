"""The same examination in the environment that cron gives."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from doctor.findings import SEVERITIES, Finding, error, fine
from doctor.programs import Answer
from doctor.scene import Scene
from doctor.starter import cron_environment, line_here

SUBJECT = "as cron"
_SECONDS = 120.0


@dataclass(frozen=True)
class Report:
    """What `doctor --json` said there: its findings, and where it found everything."""

    findings: Sequence[Finding]
    paths: Mapping[str, object] = dataclasses.field(default_factory=dict)


def under_cron(scene: Scene, here: Sequence[Finding], paths: Mapping[str, str]) -> list[Finding]:
    """What is found there and not `here`, each marked so, and which of the `paths` are others.

    The crontab's own line says which interpreter, and what is set above it; without one this interpreter is taken.
    """
    line = line_here(scene)
    interpreter = line.interpreter if line is not None and line.interpreter else sys.executable
    environ = {**cron_environment(), **(line.environ if line is not None else {})}
    argv = [interpreter, str(scene.root / "main.py"), "doctor", "--json"]
    report = read(scene.ask(argv, environ, environ["HOME"], _SECONDS), interpreter)
    known = {(finding.code, finding.subject) for finding in here}
    found = [finding for finding in report.findings if (finding.code, finding.subject) not in known]
    found = [finding for finding in found if finding.severity != "ok"] + list(other_paths(paths, report.paths))
    if not found:
        return [fine(SUBJECT, f"{interpreter} finds nothing else in cron's environment")]
    return [dataclasses.replace(finding, only_under_cron=True) for finding in found]


def other_paths(here: Mapping[str, str], there: Mapping[str, object]) -> Iterator[Finding]:
    """Places that a variable of this shell moves, or one of the crontab: then two databases are each believed."""
    for name in sorted(here.keys() & there.keys() - {"interpreter"}):
        if here[name] != there[name]:
            text = f"The {name} is {here[name]} here, and {there[name]} under cron"
            yield error("OTHER_PATHS_UNDER_CRON", SUBJECT, text, "Set it in .env, not in the shell or the crontab.")


def read(answer: Answer, interpreter: str) -> Report:
    """What an answer of `doctor --json` says; an error when it is none."""
    if answer.code is None:
        return Report([_failed(interpreter, answer.reason)])
    try:
        report = json.loads(answer.out)
        if "findings" in report:
            return Report([_finding(entry) for entry in report["findings"]], report["paths"])
        told = report["error"]
        hint = str(told["details"].get("hint") or "")
        return Report([error(str(told["code"]), SUBJECT, f"{interpreter}: {told['message']}", hint)])
    except (ValueError, KeyError, TypeError, AttributeError):
        said = (answer.err.strip() or answer.out.strip())[-400:]
        return Report([_failed(interpreter, f"exit code {answer.code}, {said}")])


def _finding(entry: Mapping[str, object]) -> Finding:
    (severity,) = [known for known in SEVERITIES if known == entry["severity"]]
    return Finding(
        str(entry["code"]), severity, str(entry["subject"]), str(entry["message"]), str(entry.get("cure") or "")
    )


def _failed(interpreter: str, reason: str) -> Finding:
    text = f"{interpreter} can't run doctor in cron's environment: {reason}"
    return error("AS_CRON_FAILED", SUBJECT, text, "Name an interpreter in the crontab that has the libraries.")
