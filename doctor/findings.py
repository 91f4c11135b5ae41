"""Findings: what a check reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from core.boundary import Failure
from core.errors import CronError

Severity = Literal["error", "warning", "ok"]

#: Worst first.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "ok")
FINE = "FINE"


class FindingReport(TypedDict):
    """A `Finding` as a JSON object; `cure` is its fix, and `only_under_cron` is there only if it is true."""

    code: str
    severity: Severity
    subject: str
    message: str
    cure: str
    only_under_cron: NotRequired[bool]


@dataclass(frozen=True)
class Finding:
    """A stable code, the severity, what it is about, a sentence, and how to fix it."""

    code: str
    severity: Severity
    subject: str
    message: str
    fix: str = ""
    only_under_cron: bool = False

    def as_dict(self) -> FindingReport:
        """The finding as a JSON object."""
        report: FindingReport = {
            "code": self.code,
            "severity": self.severity,
            "subject": self.subject,
            "message": self.message,
            "cure": self.fix,
        }
        if self.only_under_cron:
            report["only_under_cron"] = True
        return report


def fine(subject: str, message: str) -> Finding:
    """A finding that nothing is wrong."""
    return Finding(FINE, "ok", subject, message)


def error(code: str, subject: str, message: str, fix: str) -> Finding:
    """A fault that keeps jobs from running, or loses their reports."""
    return Finding(code, "error", subject, message, fix)


def warning(code: str, subject: str, message: str, fix: str) -> Finding:
    """A fault that does little harm, or will do harm later."""
    return Finding(code, "warning", subject, message, fix)


def of_error(subject: str, failure: CronError | Failure) -> Finding:
    """An error of this program, or a failure caught at a boundary, as a finding."""
    if isinstance(failure, CronError):
        return error(failure.code, subject, failure.message, failure.hint)
    return error(failure.code, subject, failure.message, str(failure.details.get("hint") or "Please report it."))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then fine; within each in the order of the checks."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """The number of findings of each severity."""
    number: Mapping[str, int] = Counter(finding.severity for finding in findings)
    return {severity: number.get(severity, 0) for severity in SEVERITIES}


class Few:
    """Limits the findings of each code to `most`, and reports at the end how many more there were."""

    def __init__(self, most: int = 20) -> None:
        self._most = most
        self._seen: Counter[tuple[str, Severity]] = Counter()

    def passes(self, finding: Finding) -> bool:
        """Whether this finding is within the limit of its code."""
        key = (finding.code, finding.severity)
        self._seen[key] += 1
        return self._seen[key] <= self._most

    def remaining(self, subject: str) -> list[Finding]:
        """For each code above the limit, one finding with the number of those that were left out."""
        return [
            Finding(code, severity, subject, f"{number - self._most} more of the same", "See those above.")
            for (code, severity), number in self._seen.items()
            if number > self._most
        ]
