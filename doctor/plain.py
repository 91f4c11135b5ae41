"""The findings as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.strict_json import visible
from doctor.findings import Finding, Severity

_COLOURS: Mapping[Severity, str] = {"error": "31;1", "warning": "33", "ok": "32"}


def lines(findings: Sequence[Finding], counts: Mapping[str, int], *, colour: bool) -> list[str]:
    """A line for each finding, its fix on the next line, and a summary. `colour` is for terminals."""
    text: list[str] = []
    for finding in findings:
        where = " (only under cron)" if finding.only_under_cron else ""
        word = _painted(finding.severity, colour)
        text.append(f"{word} {finding.subject}: {_plain(finding.message)} [{finding.code}]{where}")
        if finding.fix:
            text.append(f"        → {_plain(finding.fix)}")
    text.append("")
    text.append(f"errors: {counts['error']}, warnings: {counts['warning']}, fine: {counts['ok']}")
    return text


def _painted(severity: Severity, colour: bool) -> str:
    word = f"{severity:<7}"
    return f"\033[{_COLOURS[severity]}m{word}\033[0m" if colour else word


def _plain(text: str) -> str:
    """The text without control characters: names of files and output of targets must not move the cursor."""
    return " ".join(visible(text).split())
