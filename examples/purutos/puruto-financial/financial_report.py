"""From a request to the week's report: which file, which week, and the result that a caller gets."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from anomalies import DUPLICATE, LARGE_SUM, NEW_PAYEE, REPEATED_ID, Anomaly, Finding, Review, review
from financial_protocol import Refused, Request, language_of
from financial_words import counted, day, money, say
from movements import YEARS, FileInvalid, Movement, Reading, Rejected, parse_date, read_movements

FILE = "movements.csv"
ACTIONS = ("run",)
MAX_FILE_BYTES = 64 * 1024 * 1024
#: Lists are cut here, so that an event stays a line that people and channels can take; their totals are always there.
MAX_ANOMALIES = 100
MAX_REJECTED = 50
#: Anomalies and line numbers that the summary spells out.
MAX_TOLD = 10
#: A file older than a week can't have this week's movements.
OLD_DAYS = 7


@dataclass(frozen=True)
class Total:
    """What came in and went out of one account in one currency; both are positive."""

    account: str
    currency: str
    income: Decimal
    spending: Decimal
    movements: int


def handle(request: Request, folder: Path) -> dict[str, object]:
    """The `result` for a request about the Puruto in `folder`; raises Refused."""
    if request.action not in ACTIONS:
        message = f"action {request.action[:100]!r} is not known; known is {', '.join(ACTIONS)}"
        raise Refused("UNKNOWN_ACTION", message, {"known": list(ACTIONS)})
    asked = until_of(request.payload)
    reading = load(folder / FILE)
    return report(reading, asked, language_of(request.prompt), request.requested_at)


def until_of(payload: Mapping[str, object]) -> date | None:
    """The last day of the week that `payload.until` asks for, or None. Raises Refused INVALID_REQUEST."""
    value = payload.get("until")
    if value is None:
        return None
    try:
        until = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        until = None
    # Later Pythons take more forms than this one.
    if until is None or until.isoformat() != value or until.year not in YEARS:
        raise Refused("INVALID_REQUEST", f'payload.until must be a day like "2026-02-27", not {str(value)[:40]!r}')
    return until


def load(path: Path) -> Reading:
    """The movements in `path`. Raises Refused: MOVEMENTS_MISSING, MOVEMENTS_UNREADABLE, MOVEMENTS_INVALID."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Refused("MOVEMENTS_UNREADABLE", f"{path} is not a file", {"file": str(path)})
        if found.st_size > MAX_FILE_BYTES:
            raise Refused("MOVEMENTS_UNREADABLE", f"{path} is larger than {MAX_FILE_BYTES} bytes", {"file": str(path)})
        reading = read_movements(path.read_bytes())
    except FileNotFoundError:
        raise Refused(
            "MOVEMENTS_MISSING", f"{path} is missing: put the bank's CSV there", {"file": str(path)}
        ) from None
    except OSError as fault:
        raise Refused("MOVEMENTS_UNREADABLE", f"{path}: {fault.strerror}", {"file": str(path)}) from None
    except FileInvalid as fault:
        raise Refused("MOVEMENTS_INVALID", f"{path}: {fault}", {"file": str(path)}) from None
    if reading.rejected and not reading.movements:
        first = reading.rejected[0]
        message = f"{path}: none of {len(reading.rejected)} rows is a movement; line {first.line}: {first.reason}"
        raise Refused("MOVEMENTS_INVALID", message, {"file": str(path), "rejected": _rejected(reading.rejected)})
    return reading


def report(reading: Reading, asked: date | None, language: str, requested_at: str) -> dict[str, object]:
    """The result: the week that ends with `asked`, or with the newest movement when nobody asked."""
    newest = reading.movements[-1].date if reading.movements else None
    last = asked or newest
    result: dict[str, object] = {
        "language": language,
        "newest_movement": newest.isoformat() if newest else None,
        "rows_read": len(reading.movements),
        "rows_rejected": len(reading.rejected),
        "rejected": _rejected(reading.rejected),
    }
    if last is None:
        return {"summary": say(language, "empty"), **result, "period": None, "anomalies": [], "totals": []}
    source = "payload.until" if asked else "newest_movement"
    reviewed = review(reading.movements, last)
    totals = totals_of(reviewed.week)
    warnings = _warnings(language, reading, reviewed)
    if asked is None:
        warnings += _age_warnings(language, last, requested_at)
    return {
        "summary": _summary(language, reviewed, totals, source, warnings),
        **result,
        "period": {"from": reviewed.first.isoformat(), "until": last.isoformat(), "until_source": source},
        "movements": len(reviewed.week),
        "anomalies": [_anomaly(language, one) for one in reviewed.anomalies[:MAX_ANOMALIES]],
        "anomalies_total": len(reviewed.anomalies),
        "totals": [_total(total) for total in totals],
        "history_movements": reviewed.history_size,
        "warnings": warnings,
    }


def totals_of(week: Sequence[Movement]) -> list[Total]:
    """Totals by account and currency, in order of account."""
    groups: dict[tuple[str, str], list[Decimal]] = {}
    for movement in week:
        groups.setdefault((movement.account, movement.currency), []).append(movement.amount)
    return [
        Total(
            account=account,
            currency=currency,
            income=sum((amount for amount in amounts if amount > 0), Decimal(0)),
            spending=-sum((amount for amount in amounts if amount < 0), Decimal(0)),
            movements=len(amounts),
        )
        for (account, currency), amounts in sorted(groups.items())
    ]


def _summary(language: str, reviewed: Review, totals: Sequence[Total], source: str, warnings: Sequence[str]) -> str:
    found = reviewed.anomalies
    facts = {
        "first": day(language, reviewed.first),
        "last": day(language, reviewed.last),
        "source": say(language, "source") if source == "newest_movement" else "",
        "movements": counted(language, "movements", len(reviewed.week)),
        "anomalies": counted(language, "anomalies", len(found)),
    }
    lines = [say(language, "week", **facts)]
    lines += [_told(language, number, anomaly) for number, anomaly in enumerate(found[:MAX_TOLD], 1)]
    if len(found) > MAX_TOLD:
        lines.append(say(language, "more", count=len(found) - MAX_TOLD))
    if totals:
        lines.append(say(language, "totals", accounts="; ".join(_told_total(language, total) for total in totals)))
    return "\n".join([*lines, *(say(language, "warning", text=text) for text in warnings)])


def _told(language: str, number: int, anomaly: Anomaly) -> str:
    movement = anomaly.movement
    return say(
        language,
        "anomaly",
        number=number,
        amount=money(language, movement.amount, movement.currency),
        payee=movement.payee,
        account=movement.account,
        day=day(language, movement.date),
        reasons="; ".join(_reason_text(language, movement, finding) for finding in anomaly.findings),
    )


def _told_total(language: str, total: Total) -> str:
    income = money(language, total.income, total.currency)
    spending = money(language, total.spending, total.currency)
    return say(language, "total", account=total.account, income=income, spending=spending)


def _reason_text(language: str, movement: Movement, finding: Finding) -> str:
    side = "in" if movement.amount > 0 else "out"
    earlier, habit = finding.earlier, finding.habit
    median = money(language, habit.median, movement.currency) if habit else ""
    if finding.kind == DUPLICATE and earlier:
        return say(language, f"duplicate_{side}", day=day(language, earlier.date), line=earlier.line)
    if finding.kind == REPEATED_ID and earlier:
        return say(language, "repeated_same" if finding.identical else "repeated_id", id=movement.id, line=earlier.line)
    if finding.kind == NEW_PAYEE:
        return say(language, f"new_{side}", habit=say(language, "new_habit", median=median) if habit else "")
    scope, count = (habit.scope, habit.count) if habit else ("account", 0)
    return say(language, f"unusual_{scope}", payee=movement.payee, median=median, count=count)


def _anomaly(language: str, anomaly: Anomaly) -> dict[str, object]:
    movement = anomaly.movement
    return {
        **_identity(movement),
        "account": movement.account,
        "payee": movement.payee,
        "concept": movement.concept,
        "amount": _plain(movement.amount),
        "currency": movement.currency,
        "kinds": [finding.kind for finding in anomaly.findings],
        "reasons": [_reason(language, movement, finding) for finding in anomaly.findings],
    }


def _reason(language: str, movement: Movement, finding: Finding) -> dict[str, object]:
    reason: dict[str, object] = {"kind": finding.kind, "text": _reason_text(language, movement, finding)}
    if finding.earlier:
        reason["earlier"] = _identity(finding.earlier)
        reason["days_apart"] = (movement.date - finding.earlier.date).days
    if finding.kind == REPEATED_ID:
        reason["identical"] = finding.identical
    if finding.kind == NEW_PAYEE:
        reason["large_from"] = _plain(LARGE_SUM)
    if finding.habit:
        habit = finding.habit
        reason["compared_with"] = habit.scope
        reason["movements_compared"] = habit.count
        reason["usual"] = f"{habit.median:.2f}"
        reason["unit"] = f"{habit.unit:.2f}"
        reason["units_away"] = f"{habit.distance(movement.amount):.1f}"
    return reason


def _identity(movement: Movement) -> dict[str, object]:
    return {"id": movement.id, "line": movement.line, "date": movement.date.isoformat()}


def _total(total: Total) -> dict[str, object]:
    return {
        "account": total.account,
        "currency": total.currency,
        "income": _plain(total.income),
        "spending": _plain(total.spending),
        "net": _plain(total.income - total.spending),
        "movements": total.movements,
    }


def _plain(amount: Decimal) -> str:
    """A decimal text with at least two places: JSON's numbers would lose cents."""
    places = max(2, -int(amount.as_tuple().exponent))
    return f"{amount:.{places}f}"


def _rejected(rows: Sequence[Rejected]) -> list[dict[str, object]]:
    return [{"line": row.line, "reason": row.reason} for row in rows[:MAX_REJECTED]]


def _warnings(language: str, reading: Reading, reviewed: Review) -> list[str]:
    warnings = []
    if reading.rejected:
        lines = ", ".join(str(row.line) for row in reading.rejected[:MAX_TOLD])
        lines += ", …" if len(reading.rejected) > MAX_TOLD else ""
        warnings.append(counted(language, "rejected", len(reading.rejected), lines=lines))
    if reviewed.week and not reviewed.payees_judged:
        warnings.append(say(language, "short", count=reviewed.history_size))
    return warnings


def _age_warnings(language: str, newest: date, requested_at: str) -> list[str]:
    """Whether the file is too old, or too new, for the request's day; nothing when the request has none."""
    try:
        today = parse_date(requested_at)
    except ValueError:
        return []
    if today - newest > timedelta(days=OLD_DAYS):
        return [say(language, "old", days=(today - newest).days)]
    # One day ahead is a matter of time zones: requested_at is UTC.
    if newest - today > timedelta(days=1):
        return [say(language, "future", days=(newest - today).days)]
    return []
