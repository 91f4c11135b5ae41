"""Compares a new table with the last one: goals that are missed, and ratios that got worse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.report import RESULTS, Row

#: A ratio that got worse by more than this is reported.
FALL = 0.2


def last_results(name: str, *, quick: bool) -> list[dict[str, Any]]:
    """The rows of the last table of this bench with the same number of rounds; none if there is none."""
    try:
        found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(found["rows"]) if found.get("quick") == quick else []


def complaints(rows: Sequence[Row], last: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each missed goal, and for each ratio that is worse than in the row of the same name."""
    before = {(row["name"], row["against"]): row for row in last}
    found = [f"{row.name}: misses its goal{f' ({row.fault})' if row.fault else ''}" for row in rows if row.met is False]
    for row in rows:
        known = before.get((row.name, row.against))
        if row.ratio is None or known is None or known.get("ratio") is None or known.get("share", False) != row.share:
            continue
        old, new = float(known["ratio"]["rounds"]["median"]), row.ratio.rounds.median
        # A share of speed is better if it is higher, a multiple of time if it is lower.
        worse = old / new if row.share else new / old
        if worse > 1 + FALL:
            found.append(f"{row.name}: {new:.3f} against {row.against}, and {old:.3f} the last time")
    return found
