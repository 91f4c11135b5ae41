"""docs/doctor.md against the doctor: every finding has its row, with its severity and a cure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([a-z, ]+) \| (.+?) \| (.*?) ?\|$", re.MULTILINE)
#: What has nothing to be cured.
WELL = {"FINE"}


def documented() -> dict[str, tuple[set[str], str]]:
    """Severities and cure of each code."""
    return {match[1]: (set(match[2].split(", ")), match[4]) for match in ROW.finditer(DOCUMENT)}


def said_by_checks() -> Iterator[tuple[str, str]]:
    """(code, severity) of each `error("CODE", …)` and `warning("CODE", …)`."""
    for path in (ROOT / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("error", "warning"):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield str(first.value), node.func.id


def anomalies() -> Iterator[str]:
    """The codes that reports/health.py gives to anomalies."""
    for node in ast.walk(ast.parse((ROOT / "reports" / "health.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                    yield str(value.value)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "_anomaly"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def test_the_search_finds_findings_and_anomalies() -> None:
    assert {("NO_TICK", "error"), ("NO_CRON_LINE", "warning"), ("WORLD_WRITABLE", "warning")} <= set(said_by_checks())
    assert {"OWNER_GONE", "JOB_PAUSED", "LAST_TICK_IN_FUTURE"} <= set(anomalies())


def test_every_finding_is_documented_with_its_severity() -> None:
    rows = documented()
    for code, severity in [*said_by_checks(), *((code, "warning") for code in anomalies())]:
        assert severity in rows[code][0], (code, severity)


def test_every_documented_severity_is_reported() -> None:
    said = {*said_by_checks(), *((code, "warning") for code in [*anomalies(), "CLOCK_SET_BACK"])}
    own = {code for code, _ in said}
    for code, (severities, _) in documented().items():
        if code in own:
            assert {(code, severity) for severity in severities} <= said, code


def test_every_finding_has_a_fix_and_is_listed_once() -> None:
    assert [code for code, (_, fix) in documented().items() if not fix and code not in WELL] == []
    codes = [match[1] for match in ROW.finditer(DOCUMENT)]
    assert sorted(codes) == sorted(set(codes))
