"""What a run said, how long it took and what it cost, read from the report of the run. Imports no library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

#: Where the text for people is, in this order. Source: docs/contract.md "Invocation", docs/agents.md.
_TEXTS = ("summary", "text", "stdout")


class Answer(NamedTuple):
    """`text` is "" if the run said nothing; numbers are None if they were not reported."""

    text: str = ""
    duration_ms: float | None = None
    cost_usd: float | None = None
    usage: Mapping[str, Any] = {}
    result: Mapping[str, Any] = {}


def said(report: Mapping[str, Any]) -> Answer:
    """The answer in a report of `run-now`, in an event or in a row of `runs`; empty for one without a result."""
    result = report.get("result")
    response = result.get("response") if isinstance(result, Mapping) else None
    answer = response.get("result") if isinstance(response, Mapping) else None
    if not isinstance(response, Mapping) or not isinstance(answer, Mapping):
        return Answer()
    text = next((str(answer[key]) for key in _TEXTS if answer.get(key)), "")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    cost = next((found for found in (usage.get("cost_usd"), answer.get("cost_usd")) if _is_number(found)), None)
    took = response.get("duration_ms")
    return Answer(text, took if _is_number(took) else None, cost, usage, answer)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
