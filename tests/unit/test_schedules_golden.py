"""A table that pins what croniter says to tricky expressions: an upgrade that changes a meaning fails here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from croniter import croniter

from core.errors import ScheduleError
from schedules.language import check, next_fire

TABLE = json.loads((Path(__file__).parent / "golden" / "croniter.json").read_text(encoding="utf-8"))
AFTER = datetime.fromisoformat(TABLE["after"])
ROWS = [pytest.param(row, id=row["expression"]) for row in TABLE["rows"]]


def moments(row: dict[str, Any], key: str) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in row[key]]


def test_the_table_is_as_wide_as_promised() -> None:
    assert len({row["expression"] for row in TABLE["rows"]}) >= 60


@pytest.mark.parametrize("row", ROWS)
def test_croniter_still_means_what_it_meant(row: dict[str, Any]) -> None:
    walls = croniter(row["expression"], AFTER, ret_type=datetime, implement_cron_bug=True)
    assert [walls.get_next() for _ in row["croniter"]] == moments(row, "croniter")


@pytest.mark.parametrize("row", ROWS)
def test_a_schedule_means_the_same_or_is_refused_on_purpose(row: dict[str, Any]) -> None:
    if row.get("ours", True) is None:
        with pytest.raises(ScheduleError):
            check(row["expression"], "UTC")
        return
    instant: datetime | None = AFTER.replace(tzinfo=UTC)
    for expected in moments(row, "ours" if "ours" in row else "croniter"):
        assert instant is not None
        instant = next_fire(row["expression"], "UTC", instant)
        assert instant == expected.replace(tzinfo=UTC)
