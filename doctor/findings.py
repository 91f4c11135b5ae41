"""What a check has to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from core.boundary import Failure
from core.errors import CronError

Severity = Literal["error", "warning", "ok"]

#: Worst first.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "ok")
FINE = "FINE"


@dataclass(frozen=True)
class Finding:
    """One thing found: a stable code, how bad it is, what it is about, a sentence, and what to do about it."""

    code: str
    severity: Severity
    subject: str
    message: str
    fix: str = ""
    only_under_cron: bool = False

    def as_dict(self) -> dict[str, object]:
        """For JSON; `only_under_cron` only when it is so."""
        found: dict[str, object] = {
            "code": self.code,
            "severity": self.severity,
            "subject": self.subject,
            "message": self.message,
            "cure": self.fix,
        }
        return {**found, "only_under_cron": True} if self.only_under_cron else found


def fine(subject: str, message: str) -> Finding:
    """Nothing to complain about."""
    return Finding(FINE, "ok", subject, message)


def error(code: str, subject: str, message: str, fix: str) -> Finding:
    """Something that keeps jobs from running, or loses what they say."""
    return Finding(code, "error", subject, message, fix)


def warning(code: str, subject: str, message: str, fix: str) -> Finding:
    """Something that will hurt one day, or hurts only a little."""
    return Finding(code, "warning", subject, message, fix)


def of_error(subject: str, found: CronError | Failure) -> Finding:
    """An error of ours, or one behind the boundary, as a finding."""
    if isinstance(found, CronError):
        return error(found.code, subject, found.message, found.hint)
    return error(found.code, subject, found.message, str(found.details.get("hint") or "Please report it."))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then what is fine; within each in the order of the checks."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each severity."""
    number: Mapping[str, int] = Counter(finding.severity for finding in findings)
    return {severity: number.get(severity, 0) for severity in SEVERITIES}


class Few:
    """Lets at most `most` findings of a code pass, and says at the end how many more there were."""

    def __init__(self, most: int = 20) -> None:
        self._most = most
        self._seen: Counter[tuple[str, Severity]] = Counter()

    def passes(self, finding: Finding) -> bool:
        """Whether this one is to be shown."""
        key = (finding.code, finding.severity)
        self._seen[key] += 1
        return self._seen[key] <= self._most

    def rest(self, subject: str) -> list[Finding]:
        """One finding for each code of which there were too many."""
        return [
            Finding(code, severity, subject, f"{number - self._most} more of the same", "See those above.")
            for (code, severity), number in self._seen.items()
            if number > self._most
        ]
