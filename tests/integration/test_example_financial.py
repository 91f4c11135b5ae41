"""examples/purutos/puruto-financial: the real `invoke` on a copy of its folder, and the rules that it judges by."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support_examples import BAD_REQUESTS, PURUTOS, ask, ask_raw, copy_of, module

movements = module("puruto-financial", "movements")
anomalies = module("puruto-financial", "anomalies")
protocol = module("puruto-financial", "financial_protocol")
financial_report = module("puruto-financial", "financial_report")

CONTRACT_PROMPT = "Revisa movimientos bancarios y resume anomalías de la semana"
FIRST, LAST = date(2026, 2, 21), date(2026, 2, 27)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return copy_of("puruto-financial", tmp_path)


def put(home: Path, text: str) -> None:
    """Replace movements.csv."""
    (home / "movements.csv").write_text(text, encoding="utf-8")


HEADER = "date,account,payee,concept,amount,currency,id\n"


def row(when: date, payee: str, amount: str, *, account: str = "A", currency: str = "EUR", number: str = "") -> Any:
    """A movement whose line is set by `numbered`."""
    return movements.Movement(0, when, account, payee, "concept", Decimal(amount), currency, number)


def numbered(rows: Iterable[Any]) -> list[Any]:
    """The rows in order of date, as a file would have them, from line 2 on; ids where there are none."""
    ordered = sorted(rows, key=lambda one: one.date)
    return [replace(one, line=line, id=one.id or f"n{line}") for line, one in enumerate(ordered, 2)]


def ordinary(account: str = "A") -> list[Any]:
    """Twelve weeks before the week: a market each Saturday (around 60), a subscription of 9.99, wages of 2000."""
    rows = []
    for week in range(1, 13):
        when = FIRST - timedelta(weeks=week)
        rows.append(row(when, "Market", f"-{60 + (week * 7) % 11}.50", account=account))
        rows.append(row(when + timedelta(days=2), "Bakery", f"-{3 + week % 3}.10", account=account))
        if week % 4 == 0:
            rows.append(row(when + timedelta(days=3), "Cinema", "-9.99", account=account))
            rows.append(row(when + timedelta(days=4), "Works Ltd", "2000.00", account=account))
    return rows


def kinds(rows: Sequence[Any], last: date = LAST) -> dict[tuple[str, str], list[str]]:
    """What the week's review flags: (payee, amount) → kinds. `rows` come on top of `ordinary`."""
    reviewed = anomalies.review(numbered([*ordinary(), *rows]), last)
    return {
        (one.movement.payee, str(one.movement.amount)): [finding.kind for finding in one.findings]
        for one in reviewed.anomalies
    }


def week(day: int) -> date:
    """A day of the judged week, 0 to 6; negative ones lie before it."""
    return FIRST + timedelta(days=day)


# --- the shipped example ----------------------------------------------------------------------------------------------


@pytest.mark.process
def test_the_shipped_week_has_exactly_its_three_anomalies(home: Path) -> None:
    result = ask(home, prompt=CONTRACT_PROMPT).result
    found = [(one["kinds"], one["payee"], one["amount"], one["date"], one["id"]) for one in result["anomalies"]]
    assert found == [
        (["new_payee"], "Reformas Ibarra", "-1850.00", "2026-02-25", "4471-00024"),
        (["unusual_amount"], "Gasolinera Puerta Sur", "-214.30", "2026-02-24", "8820-00119"),
        (["duplicate"], "Ferretería Mendoza", "-86.45", "2026-02-23", "8820-00117"),
    ]
    assert result["period"] == {"from": "2026-02-21", "until": "2026-02-27", "until_source": "newest_movement"}
    assert (result["rows_read"], result["rows_rejected"], result["rejected"]) == (157, 0, [])
    assert (result["movements"], result["anomalies_total"], result["history_movements"]) == (16, 3, 141)
    assert (result["warnings"], result["language"]) == ([], "es")


@pytest.mark.process
def test_the_reasons_carry_the_numbers_that_they_rest_on(home: Path) -> None:
    new, unusual, duplicate = (one["reasons"] for one in ask(home, prompt="Review my week").result["anomalies"])
    assert new == [
        {
            "kind": "new_payee",
            "text": "new payee with a large sum; on this account it is usually 60.00 EUR",
            "large_from": "300.00",
            "compared_with": "account",
            "movements_compared": 19,
            "usual": "60.00",
            "unit": "52.04",
            "units_away": "34.4",
        }
    ]
    assert unusual == [
        {
            "kind": "unusual_amount",
            "text": "unusual amount, with Gasolinera Puerta Sur it is usually 47.50 EUR (8 movements)",
            "compared_with": "payee",
            "movements_compared": 8,
            "usual": "47.50",
            "unit": "5.98",
            "units_away": "27.9",
        }
    ]
    assert duplicate == [
        {
            "kind": "duplicate",
            "text": "possible duplicate charge, the same as on 2026-02-21 (line 144)",
            "earlier": {"id": "8820-00115", "line": 144, "date": "2026-02-21"},
            "days_apart": 2,
        }
    ]


@pytest.mark.process
def test_the_shipped_totals_are_those_that_the_file_adds_up_to(home: Path) -> None:
    sums: dict[str, list[Decimal]] = {}
    with (home / "movements.csv").open(encoding="utf-8", newline="") as stream:
        for entry in csv.DictReader(stream, delimiter=";"):
            if "2026-02-21" <= entry["date"] <= "2026-02-27":
                amount = Decimal(entry["amount"].replace(".", "").replace(",", "."))
                sums.setdefault(entry["account"], []).append(amount)
    expected = [
        {
            "account": account,
            "currency": "EUR",
            "income": str(sum((one for one in amounts if one > 0), Decimal("0.00"))),
            "spending": str(-sum((one for one in amounts if one < 0), Decimal("0.00"))),
            "net": str(sum(amounts)),
            "movements": len(amounts),
        }
        for account, amounts in sorted(sums.items())
    ]
    assert [entry["account"] for entry in expected] == ["Corriente *4471", "Tarjeta *8820"]
    assert ask(home).result["totals"] == [{**entry, "spending": str(entry["spending"])} for entry in expected]


@pytest.mark.process
def test_the_summary_is_one_that_a_person_can_read_at_breakfast(home: Path) -> None:
    assert ask(home, prompt=CONTRACT_PROMPT).result["summary"].splitlines() == [
        "Semana del 21/02/2026 al 27/02/2026 (hasta el último movimiento del archivo): 16 movimientos, 3 anomalías.",
        "1. -1.850,00 EUR · Reformas Ibarra · Corriente *4471 · 25/02/2026: beneficiario nuevo con un importe alto;"
        " lo habitual en esta cuenta son 60,00 EUR.",
        "2. -214,30 EUR · Gasolinera Puerta Sur · Tarjeta *8820 · 24/02/2026: importe inusual,"
        " lo habitual con Gasolinera Puerta Sur son 47,50 EUR (8 movimientos).",
        "3. -86,45 EUR · Ferretería Mendoza · Tarjeta *8820 · 23/02/2026: posible cargo duplicado,"
        " igual al del 21/02/2026 (línea 144).",
        "Totales: Corriente *4471: ingresos 2.201,10 EUR, gastos 1.914,02 EUR;"
        " Tarjeta *8820: ingresos 0,00 EUR, gastos 583,79 EUR.",
    ]
    english = ask(home, prompt="Review the bank movements of the week").result["summary"].splitlines()
    assert english[0] == (
        "Week of 2026-02-21 to 2026-02-27 (up to the newest movement in the file): 16 movements, 3 anomalies."
    )
    assert english[1].startswith("1. -1,850.00 EUR · Reformas Ibarra · Corriente *4471 · 2026-02-25: new payee")


@pytest.mark.process
def test_a_quiet_week_of_the_shipped_file_says_that_it_is_quiet(home: Path) -> None:
    result = ask(home, prompt=CONTRACT_PROMPT, payload={"until": "2026-01-30"}).result
    assert result["anomalies"] == []
    assert result["summary"].startswith("Semana del 24/01/2026 al 30/01/2026: 12 movimientos, ninguna anomalía.")
    assert result["period"] == {"from": "2026-01-24", "until": "2026-01-30", "until_source": "payload.until"}


# --- languages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        (CONTRACT_PROMPT, "es"),
        (CONTRACT_PROMPT.upper(), "es"),
        ("Revisa movimientos bancarios y resume anomali\u0301as de la semana", "es"),
        ("Lee registro", "es"),
        ("¿Qué pasó?", "es"),
        ("resumen semanal de gastos", "es"),
        ("Año", "es"),
        ("Review bank movements and summarise the week's anomalies", "en"),
        ("Give me a résumé of the week at the café", "en"),
        ("What did I spend at Peñas de la Rosa this week?", "en"),
        ("resume", "en"),
        ("", "en"),
        ("123 !!!", "en"),
        ("週間", "en"),
    ],
)
def test_the_language_is_the_one_whose_everyday_words_prevail(prompt: str, language: str) -> None:
    assert protocol.language_of(prompt) == language


# --- duplicates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days_apart", "flagged"), [(0, True), (1, True), (3, True), (4, False)])
def test_the_same_charge_again_is_a_duplicate_up_to_three_days_later(days_apart: int, flagged: bool) -> None:
    found = kinds([row(week(1), "Shop", "-49.90"), row(week(1 + days_apart), "Shop", "-49.90")])
    assert found == ({("Shop", "-49.90"): ["duplicate"]} if flagged else {})


def test_a_duplicate_may_repeat_a_charge_from_before_the_week_and_is_flagged_once(home: Path) -> None:
    rows = numbered([*ordinary(), row(week(-1), "Shop", "-49.90"), row(week(1), "Shop", "-49.90")])
    (found,) = anomalies.review(rows, LAST).anomalies
    assert found.movement.date == week(1)
    assert found.findings[0].earlier.date == week(-1)


def test_three_times_the_same_charge_are_two_duplicates_each_of_the_one_before() -> None:
    rows = numbered([*ordinary(), *(row(week(day), "Shop", "-49.90") for day in (0, 2, 4))])
    found = anomalies.review(rows, LAST).anomalies
    assert [(one.movement.date, one.findings[0].earlier.date) for one in found] == [
        (week(2), week(0)),
        (week(4), week(2)),
    ]


@pytest.mark.parametrize(
    "other",
    [
        row(week(2), "Shop", "-49.91"),
        row(week(2), "Shop", "49.90"),
        row(week(2), "Shopp", "-49.90"),
        row(week(2), "Shop", "-49.90", account="B"),
        row(week(2), "Shop", "-49.90", currency="USD"),
    ],
)
def test_what_differs_in_amount_sign_payee_account_or_currency_is_no_duplicate(other: Any) -> None:
    assert kinds([row(week(1), "Shop", "-49.90"), other]) == {}


def test_case_accents_and_spaces_do_not_make_another_payee() -> None:
    found = kinds([row(week(1), "Café  Óñez", "-49.90"), row(week(2), "CAFE OÑEZ", "-49.90")])
    assert found == {("CAFE OÑEZ", "-49.90"): ["duplicate"]}


def test_a_credit_that_comes_twice_is_a_duplicate_too(home: Path) -> None:
    put(home, HEADER + "".join(f"2026-02-2{day},A,Shop,refund,20.00,EUR,{day}\n" for day in (6, 7)))
    (found,) = ask(home, prompt=CONTRACT_PROMPT).result["anomalies"]
    assert found["reasons"][0]["text"] == "posible abono duplicado, igual al del 26/02/2026 (línea 2)"


def test_small_sums_are_never_duplicates() -> None:
    assert kinds([row(week(1), "Kiosk", "-4.99"), row(week(1), "Kiosk", "-4.99")]) == {}
    assert kinds([row(week(1), "Kiosk", "-5.00"), row(week(1), "Kiosk", "-5.00")]) != {}


@pytest.mark.parametrize(("pairs", "flagged"), [(0, True), (1, True), (2, False), (5, False)])
def test_what_has_been_paid_twice_in_a_row_before_is_a_way_of_paying(pairs: int, flagged: bool) -> None:
    past = [row(week(-10 * pair - day), "Canteen", "-12.50") for pair in range(1, pairs + 1) for day in (0, 1)]
    found = kinds([*past, row(week(1), "Canteen", "-12.50"), row(week(2), "Canteen", "-12.50")])
    assert (("Canteen", "-12.50") in found) is flagged


# --- repeated ids -----------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_row_that_is_there_twice_is_told_and_counted_once(home: Path) -> None:
    line = "2026-02-26,A,Shop,taladro,-49.90,EUR,77\n"
    put(home, HEADER + line + "2026-02-25,A,Other,x,-10.00,EUR,76\n" + line)
    result = ask(home, prompt=CONTRACT_PROMPT).result
    (found,) = result["anomalies"]
    assert (found["kinds"], found["line"], found["reasons"][0]["identical"]) == (["repeated_id"], 4, True)
    assert found["reasons"][0]["text"] == "la misma fila ya está en la línea 2; se cuenta una vez"
    assert (result["rows_read"], result["movements"]) == (3, 2)
    assert [(one["spending"], one["movements"]) for one in result["totals"]] == [("59.90", 2)]


def test_an_id_on_two_different_movements_is_told_and_both_count(home: Path) -> None:
    put(home, HEADER + "2026-02-26,A,Shop,x,-49.90,EUR,77\n2026-02-27,A,Other,x,-10.00,EUR,77\n")
    result = ask(home).result
    (found,) = result["anomalies"]
    assert (found["kinds"], found["payee"], found["reasons"][0]["identical"]) == (["repeated_id"], "Other", False)
    assert found["reasons"][0]["text"] == "its id 77 is already on line 2"
    assert [one["spending"] for one in result["totals"]] == ["59.90"]


def test_the_same_movement_with_the_same_id_a_day_later_is_a_repeated_id_and_no_duplicate() -> None:
    found = kinds([row(week(1), "Shop", "-49.90", number="x"), row(week(2), "Shop", "-49.90", number="x")])
    assert found == {("Shop", "-49.90"): ["repeated_id"]}


def test_accounts_have_ids_of_their_own_and_missing_ids_are_not_compared(home: Path) -> None:
    put(
        home,
        HEADER
        + "2026-02-26,A,Shop,x,-49.90,EUR,77\n2026-02-26,B,Other,x,-10.00,EUR,77\n"
        + "2026-02-26,A,One,x,-1.00,EUR,\n2026-02-26,A,Two,x,-2.00,EUR,\n",
    )
    assert ask(home).result["anomalies"] == []


def test_repeated_rows_from_before_the_week_are_not_this_week_s_news() -> None:
    assert kinds([row(week(-9), "Shop", "-49.90", number="x"), row(week(-9), "Shop", "-49.90", number="x")]) == {}


# --- unusual amounts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payee", "amount", "flagged"),
    [
        ("Market", "-64.50", False),
        ("Market", "-85.00", False),
        ("Market", "-150.00", True),
        ("Market", "-12.00", True),
        ("Cinema", "-12.99", False),
        ("Cinema", "-34.00", False),
        ("Cinema", "-36.00", True),
        ("Works Ltd", "2000.00", False),
        ("Works Ltd", "2400.00", False),
        ("Works Ltd", "500.00", True),
        ("Bakery", "-9.00", False),
        ("Bakery", "-95.00", True),
    ],
)
def test_a_payee_with_a_history_is_measured_by_its_own_habit(payee: str, amount: str, flagged: bool) -> None:
    found = kinds([row(week(3), payee, amount)])
    assert found == ({(payee, amount): ["unusual_amount"]} if flagged else {})


def test_the_measure_is_the_distance_from_the_median_in_robust_units_with_a_floor() -> None:
    habit = anomalies.habit_of([Decimal(one) for one in ("-10", "-20", "-30", "-40", "-1000")], "payee")
    assert (habit.median, habit.unit, habit.count) == (Decimal(30), Decimal("14.8260"), 5)
    assert habit.distance(Decimal("-178.26")) == Decimal(10)
    assert anomalies.habit_of([Decimal("9.99")] * 4, "payee").unit == Decimal(5)
    assert anomalies.habit_of([Decimal(800)] * 4, "payee").unit == Decimal(80)
    assert anomalies.habit_of([Decimal("9.99")] * 4, "account").unit == Decimal(25)


def test_one_outlier_in_the_past_does_not_hide_the_next_one() -> None:
    assert kinds([row(week(-4), "Market", "-900.00"), row(week(3), "Market", "-150.00")]) == {
        ("Market", "-150.00"): ["unusual_amount"]
    }


def test_a_payee_with_little_history_is_measured_by_the_account_s_habit_and_its_own_highest() -> None:
    past = [row(week(-60), "Insurance", "-420.00")]
    assert kinds([*past, row(week(3), "Insurance", "-430.00")]) == {}
    assert kinds([*past, row(week(3), "Insurance", "-630.01")]) == {("Insurance", "-630.01"): ["unusual_amount"]}
    small = [row(week(-60), "Kiosk", "-4.00")]
    assert kinds([*small, row(week(3), "Kiosk", "-90.00")]) == {}
    assert kinds([*small, row(week(3), "Kiosk", "-400.00")]) == {("Kiosk", "-400.00"): ["unusual_amount"]}


@pytest.mark.parametrize(("times", "flagged"), [(1, False), (2, False), (3, True)])
def test_three_movements_are_a_history(times: int, flagged: bool) -> None:
    past = [row(week(-20 * one), "Club", "-10.00") for one in range(1, times + 1)]
    assert (kinds([*past, row(week(3), "Club", "-60.00")]) != {}) is flagged


def test_what_is_small_for_an_account_of_large_sums_is_no_news() -> None:
    large = [row(week(-2 * one), "Supplier", f"-{3000 + 50 * (one % 7)}.00", account="B") for one in range(1, 20)]
    known = row(week(-50), "Kiosk", "-1.00", account="B")
    assert kinds([*large, known, row(week(3), "Kiosk", "-9.00", account="B")]) == {}
    assert kinds([*large, row(week(3), "Builder", "-400.00", account="B")]) == {}


def test_a_refund_from_a_known_payee_is_ordinary() -> None:
    assert kinds([row(week(3), "Market", "64.50")]) == {}


def test_currencies_have_habits_of_their_own() -> None:
    dollars = [row(week(-7 * one), "Hotel", "-400.00", currency="USD") for one in range(1, 6)]
    assert kinds([*dollars, row(week(3), "Hotel", "-410.00", currency="USD")]) == {}
    assert kinds([*dollars, row(week(3), "Hotel", "-410.00")]) == {("Hotel", "-410.00"): ["unusual_amount"]}


def test_the_week_itself_is_no_part_of_the_habit() -> None:
    found = kinds([row(week(day), "Market", f"-{200 + day}.00") for day in range(7)])
    assert len(found) == 7


def test_history_older_than_a_year_is_forgotten() -> None:
    old = [row(week(-367 - one), "Club", "-10.00") for one in range(1, 5)]
    assert kinds([*old, row(week(3), "Club", "-400.00")]) == {("Club", "-400.00"): ["new_payee"]}
    recent = [replace(one, date=one.date + timedelta(days=100)) for one in old]
    assert kinds([*recent, row(week(3), "Club", "-400.00")]) == {("Club", "-400.00"): ["unusual_amount"]}


# --- new payees -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "flagged"),
    [("-23.50", False), ("-299.99", False), ("-300.00", True), ("-1850.00", True), ("299.99", False), ("300", True)],
)
def test_a_new_payee_is_news_from_300_on(amount: str, flagged: bool) -> None:
    found = kinds([row(week(3), "Builder", amount)])
    assert found == ({("Builder", amount): ["new_payee"]} if flagged else {})


def test_on_an_account_of_large_sums_a_new_payee_needs_a_larger_one() -> None:
    large = [row(week(-2 * one), "Supplier", f"-{1000 + 100 * (one % 7)}.00", account="B") for one in range(1, 20)]
    assert kinds([*large, row(week(3), "Builder", "-1500.00", account="B")]) == {}
    assert kinds([*large, row(week(3), "Builder", "-9000.00", account="B")]) == {("Builder", "-9000.00"): ["new_payee"]}


def test_a_payee_known_on_another_account_is_not_new() -> None:
    past = row(week(-30), "Builder", "-1500.00", account="B")
    assert kinds([past, row(week(3), "BUILDER", "-1500.00", account="A")]).get(("BUILDER", "-1500.00")) != ["new_payee"]


def test_both_first_payments_to_a_new_payee_are_news_and_the_second_may_be_a_duplicate_as_well() -> None:
    rows = numbered([*ordinary(), row(week(3), "Builder", "-900.00"), row(week(4), "Builder", "-900.00")])
    found = anomalies.review(rows, LAST).anomalies
    assert [[finding.kind for finding in one.findings] for one in found] == [["new_payee"], ["duplicate", "new_payee"]]


def test_with_too_little_history_nobody_is_new_and_the_result_says_so(home: Path) -> None:
    put(home, HEADER + "2026-02-01,A,Old,x,-1.00,EUR,1\n2026-02-27,A,Builder,x,-5000.00,EUR,2\n")
    result = ask(home).result
    assert result["anomalies"] == []
    assert result["warnings"] == [
        "there is little history to tell what is new or unusual (movements before this week: 1)"
    ]
    rows = [row(week(-9 * one), f"p{one}", "-1.00") for one in range(1, 21)]
    builder = row(week(3), "Builder", "-5000.00")
    assert len(anomalies.review(numbered([*rows, builder]), LAST).anomalies) == 1
    assert len(anomalies.review(numbered([*rows[1:], builder]), LAST).anomalies) == 0


# --- the week ---------------------------------------------------------------------------------------------------------


def test_the_week_is_the_seven_days_that_end_with_until() -> None:
    rows = [row(week(day), "Builder", f"-{1000 + day}.00") for day in range(-2, 9)]
    reviewed = anomalies.review(numbered([*ordinary(), *rows]), LAST)
    assert (reviewed.first, reviewed.last) == (FIRST, LAST)
    assert [one.date for one in reviewed.week] == [week(day) for day in range(7)]


def test_a_week_without_movements_says_so(home: Path) -> None:
    result = ask(home, prompt=CONTRACT_PROMPT, payload={"until": "2024-01-07"}).result
    assert result["summary"] == "Semana del 01/01/2024 al 07/01/2024: ningún movimiento, ninguna anomalía."
    assert (result["movements"], result["totals"], result["anomalies"]) == (0, [], [])
    assert result["newest_movement"] == "2026-02-27"


@pytest.mark.parametrize(
    "until", ["", "2026-2-27", "27/02/2026", "20260227", "2026-W09-5", "2026-02-30", "0001-01-01", "9999-12-31", 7, []]
)
def test_a_wrong_until_is_refused(home: Path, until: object) -> None:
    error = ask(home, payload={"until": until}).error
    assert error["code"] == "INVALID_REQUEST"
    assert error["message"].startswith('payload.until must be a day like "2026-02-27"')


@pytest.mark.process
@pytest.mark.parametrize(
    ("requested_at", "warnings"),
    [
        ("2026-02-27T09:00:00+00:00", []),
        ("2026-03-06T09:00:00+00:00", []),
        ("2026-03-07T09:00:00+00:00", ["the newest movement in the file is 8 days old"]),
        ("2026-02-26T23:30:00+00:00", []),
        ("2026-02-25T23:30:00+00:00", ["the newest movement in the file is 2 days in the future"]),
        ("yesterday", []),
        ("", []),
        (None, []),
        (7, []),
    ],
)
def test_a_file_that_is_too_old_or_too_new_for_the_request_is_told(
    home: Path, requested_at: object, warnings: list[str]
) -> None:
    result = ask(home, requested_at=requested_at).result
    assert result["warnings"] == warnings
    assert all(f"Warning: {text}." in result["summary"] for text in warnings)


@pytest.mark.process
def test_who_asks_for_a_day_is_not_told_the_age_of_the_file(home: Path) -> None:
    asked = {"payload": {"until": "2026-02-27"}, "requested_at": "2027-01-01T00:00:00+00:00"}
    assert ask(home, **asked).result["warnings"] == []


# --- files ------------------------------------------------------------------------------------------------------------

WRITTEN = "fecha;cuenta;beneficiario;concepto;importe;divisa;referencia\n"
PLAIN_ROWS = [
    ("2026-02-25", "Señal", "Niño & Cía", "obra, 1ª parte", "-1234.50", "EUR", "a"),
    ("2026-02-26", "Señal", "Niño & Cía", "obra", "1000.00", "EUR", "b"),
    ("2026-02-27", "Otra", "Luz", "recibo", "-7.25", "EUR", "c"),
]


def written(delimiter: str, comma: bool, dates: str, header: Sequence[str] | None = None) -> str:
    """PLAIN_ROWS in one of the forms that banks use."""
    stream = io.StringIO()
    out = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    out.writerow(header or ["date", "account", "payee", "concept", "amount", "currency", "id"])
    for when, account, payee, concept, amount, currency, number in PLAIN_ROWS:
        text = f"{Decimal(amount):,.2f}"
        text = text.translate(str.maketrans(",.", ".,")) if comma else text
        day = date.fromisoformat(when).strftime(dates)
        out.writerow([day, account, payee, concept, text, currency, number])
    return stream.getvalue()


SPANISH_HEADER = ["Fecha", "Cuenta", "Beneficiario", "Descripción", "Importe", "Divisa", "Referencia"]
FORMS: dict[str, bytes] = {
    "semicolons, comma": written(";", True, "%Y-%m-%d").encode(),
    "commas, comma": written(",", True, "%Y-%m-%d").encode(),
    "commas, point": written(",", False, "%d/%m/%Y").encode(),
    "semicolons, point": written(";", False, "%d-%m-%y").encode(),
    "tabs, comma": written("\t", True, "%d.%m.%Y").encode(),
    "UTF-8 with BOM": written(";", True, "%Y-%m-%d").encode("utf-8-sig"),
    "a quoted header after a BOM": b'\xef\xbb\xbf"date"' + written(";", True, "%Y-%m-%d").encode()[4:],
    "Latin-1": written(";", True, "%d/%m/%Y").encode("latin-1"),
    "Windows line ends": written(";", True, "%Y-%m-%dT10:00:00").replace("\n", "\r\n").encode(),
    "old Mac line ends": written(";", True, "%Y-%m-%d 10:00").replace("\n", "\r").encode(),
    "a Spanish header": written(";", True, "%Y-%m-%d", SPANISH_HEADER).encode("latin-1"),
    "empty lines at the end": written(";", True, "%Y-%m-%d").encode() + b"\n  \n;;;;;;\n",
}


@pytest.mark.process
@pytest.mark.parametrize("form", FORMS)
def test_a_file_says_the_same_in_every_form_that_banks_use(home: Path, form: str) -> None:
    (home / "movements.csv").write_bytes(FORMS[form])
    result = ask(home).result
    assert (result["rows_read"], result["rejected"]) == (3, [])
    assert result["totals"] == [
        {"account": "Otra", "currency": "EUR", "income": "0.00", "spending": "7.25", "net": "-7.25", "movements": 1},
        {
            "account": "Señal",
            "currency": "EUR",
            "income": "1000.00",
            "spending": "1234.50",
            "net": "-234.50",
            "movements": 2,
        },
    ]
    read = movements.read_movements(FORMS[form]).movements
    assert [(one.line, one.date.isoformat(), one.payee, one.id) for one in read] == [
        (line, entry[0], entry[2], entry[6]) for line, entry in enumerate(PLAIN_ROWS, 2)
    ]


def test_the_text_may_be_that_of_windows_or_of_nobody() -> None:
    def payee(text: bytes) -> str:
        (movement,) = movements.read_movements(
            HEADER.encode() + b"2026-02-27,A," + text + b",c,-1.00,EUR,1\n"
        ).movements
        return str(movement.payee)

    assert payee(b"\x8cuvre \x80") == "Œuvre €"
    assert payee(b"A\xf1o \x81 x") == "Año   x"


def test_payee_currency_and_id_may_be_missing(home: Path) -> None:
    put(home, "Fecha;IBAN;Concepto;Importe;Saldo\n27/02/2026;ES12;Luz de febrero;-64,02 €;1.000,00\n")
    (movement,) = movements.read_movements((home / "movements.csv").read_bytes()).movements
    assert (movement.payee, movement.currency, movement.id) == ("Luz de febrero", "EUR", "")
    assert ask(home).result["totals"][0]["spending"] == "64.02"


#: Each with the same meaning whatever the rest of the file does.
SURE_AMOUNTS: dict[str, str] = {
    "1.234,56": "1234.56",
    "1,234.56": "1234.56",
    "1.234.567,8": "1234567.8",
    "1.234.567": "1234567",
    "1,234,567": "1234567",
    "-1.234,56 €": "-1234.56",
    "EUR 12": "12",
    "12,5": "12.5",
    "12.50": "12.50",
    "1.2345": "1.2345",
    "+3": "3",
    "12,50-": "-12.50",
    "\u221212,50": "-12.50",
    "1\u00a0234,50": "1234.50",
    "0": "0",
}


@pytest.mark.parametrize("mark", [",", ".", ""])
@pytest.mark.parametrize("text", SURE_AMOUNTS)
def test_amounts_are_read_as_people_write_them(text: str, mark: str) -> None:
    assert str(movements.parse_amount(text, mark)) == SURE_AMOUNTS[text]


@pytest.mark.parametrize(
    ("text", "mark", "expected"),
    [
        ("1.234", ".", "1.234"),
        ("1.234", ",", "1234"),
        ("1.234", "", "1234"),
        ("1,234", ".", "1234"),
        ("1,234", ",", "1.234"),
        ("1,234", "", "1234"),
        ("-12.345-", "", None),
        ("1234.567", ".", "1234.567"),
        ("1234.567", ",", None),
    ],
)
def test_three_digits_after_a_mark_mean_what_they_mean_in_the_rest_of_the_file(
    text: str, mark: str, expected: str | None
) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="is not a number"):
            movements.parse_amount(text, mark)
    else:
        assert str(movements.parse_amount(text, mark)) == expected


NO_AMOUNTS = (
    "|-|+|,|.|1,2,3|1.2.3,4.5|1.23,456.7|12a|--1|+-1|-1-|1e5|NaN|Infinity|0x10|1_000|(12)|12 USD|$12|1.2345.678|12,,5"
    "|\u0661\u0662|9999999999999999|12.|,50"
)


@pytest.mark.parametrize("text", NO_AMOUNTS.split("|"))
@pytest.mark.parametrize("mark", [",", ".", ""])
def test_what_is_no_amount_is_refused(text: str, mark: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        movements.parse_amount(text, mark)


@pytest.mark.process
def test_a_thousand_and_a_thousandth_are_told_apart_by_the_rest_of_the_file(home: Path) -> None:
    put(home, HEADER.replace(",", ";") + "2026-02-27;A;x;c;-1.234;EUR;1\n2026-02-27;A;y;c;-2,50;EUR;2\n")
    assert ask(home).result["totals"][0]["spending"] == "1236.50"
    put(home, HEADER.replace(",", ";") + "2026-02-27;A;x;c;-1,234;EUR;1\n2026-02-27;A;y;c;-2.50;EUR;2\n")
    assert ask(home).result["totals"][0]["spending"] == "1236.50"
    put(home, HEADER.replace(",", ";") + "2026-02-27;A;x;c;-1.234;EUR;1\n2026-02-27;A;y;c;-2.50;EUR;2\n")
    assert ask(home).result["totals"][0]["spending"] == "3.734"
    put(home, HEADER.replace(",", ";") + "2026-02-27;A;x;c;-1.234;EUR;1\n2026-02-27;A;y;c;-2.500;EUR;2\n")
    assert ask(home).result["totals"][0]["spending"] == "3734.00"


BAD_ROWS: dict[str, str] = {
    "yesterday,A,x,c,-1.00,EUR,1": "date 'yesterday' is not a date",
    "2026-02-30,A,x,c,-1.00,EUR,1": "date '2026-02-30' is not in the calendar (the day comes first)",
    "02/27/2026,A,x,c,-1.00,EUR,1": "date '02/27/2026' is not in the calendar (the day comes first)",
    "2206-02-27,A,x,c,-1.00,EUR,1": "date '2206-02-27': the year must be from 1970 to 2100",
    "2026-02-27,,x,c,-1.00,EUR,1": "account is empty",
    "2026-02-27,A,,,-1.00,EUR,1": "payee is empty",
    "2026-02-27,A,x,c,,EUR,1": "amount '' is not a number",
    "2026-02-27,A,x,c,many,EUR,1": "amount 'many' is not a number",
    "2026-02-27,A,x,c,-1,50,EUR,1": "the row has 8 fields, the header 7",
    "2026-02-27,A,x": "the row has 3 fields, the header 7",
    '2026-02-27,A,"x,c,-1.00,EUR,1': "the row can't be split: unexpected end of data",
    '2026-02-27,A,"x"y,c,-1.00,EUR,1': "the row can't be split: ',' expected after '\"'",
    f"2026-02-27,A,{'x' * 501},c,-1.00,EUR,1": "a field is longer than 500 characters",
    f"2026-02-27,A,{'x' * 200_000},c,-1.00,EUR,1": "the row can't be split: field larger than field limit (131072)",
}


def test_bad_rows_are_told_with_their_lines_and_hurt_nobody_else(home: Path) -> None:
    good = [f"2026-02-2{day},A,payee {day},c,-{day}.00,EUR,g{day}" for day in range(1, 8)]
    lines = [*good[:3], *BAD_ROWS, *good[3:]]
    put(home, HEADER + "\n".join(lines) + "\n")
    result = ask(home, prompt=CONTRACT_PROMPT).result
    assert (result["rows_read"], result["rows_rejected"]) == (7, len(BAD_ROWS))
    told = {entry["line"]: entry["reason"] for entry in result["rejected"]}
    assert told == {number: BAD_ROWS[text] for number, text in enumerate(lines, 2) if text in BAD_ROWS}
    assert result["totals"][0]["spending"] == "28.00"
    assert "14 filas no se pudieron leer (líneas 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, …)" in result["summary"]


def test_a_payee_with_control_characters_reaches_no_terminal(home: Path) -> None:
    put(home, HEADER + "2026-02-26,A,\x1b[31mShop\x07,c,-49.90,EUR,1\n2026-02-27,A,\x1b[31mShop\x07,c,-49.90,EUR,2\n")
    result = ask(home).result
    assert result["anomalies"][0]["payee"] == "[31mShop"
    assert all(letter.isprintable() or letter == "\n" for letter in result["summary"])


@pytest.mark.process
def test_a_file_with_only_a_header_says_that_it_has_no_movements(home: Path) -> None:
    put(home, HEADER)
    result = ask(home, prompt=CONTRACT_PROMPT).result
    assert result["summary"] == "movements.csv no tiene movimientos."
    assert (result["period"], result["anomalies"], result["totals"], result["rows_read"]) == (None, [], [], 0)


@pytest.mark.process
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty: it has no header line"),
        ("\n\n", "the file is empty: it has no header line"),
        ("2026-02-27,A,x,c,-1.00,EUR,1\n", "lacks the column(s) date, account, amount, payee"),
        ("date,account,amount\n", "lacks the column(s) payee"),
        ("date;payee;amount\n", "lacks the column(s) account"),
        ("date,fecha,account,payee,amount\n", "has more than one column for date"),
        ("\0\1\2", "lacks the column(s)"),
        (HEADER + "x\ny\n", "none of 2 rows is a movement; line 2: the row has 1 fields, the header 7"),
    ],
)
def test_a_file_that_is_no_list_of_movements_is_an_error(home: Path, content: str, message: str) -> None:
    put(home, content)
    error = ask(home).error
    assert error["code"] == "MOVEMENTS_INVALID"
    assert message in error["message"]
    assert str(home / "movements.csv") in error["message"]


@pytest.mark.process
def test_a_missing_file_and_a_folder_in_its_place_are_errors_that_name_it(home: Path) -> None:
    (home / "movements.csv").unlink()
    error = ask(home).error
    assert (error["code"], error["details"]) == ("MOVEMENTS_MISSING", {"file": str(home / "movements.csv")})
    (home / "movements.csv").mkdir()
    assert ask(home).error["code"] == "MOVEMENTS_UNREADABLE"


@pytest.mark.process
def test_a_file_of_a_size_that_no_bank_exports_is_refused_unread(home: Path) -> None:
    with (home / "movements.csv").open("wb") as stream:
        stream.truncate(65 * 1024 * 1024)
    assert ask(home).error["code"] == "MOVEMENTS_UNREADABLE"


@pytest.mark.process
def test_long_lists_are_cut_and_say_how_long_they_were(home: Path) -> None:
    rows = "".join(f"2026-02-27,A,payee {n // 2},c,-{10 + n // 2}.00,EUR,{n}\n" for n in range(300))
    put(home, HEADER + rows + "bad\n" * 60)
    result = ask(home).result
    assert (len(result["anomalies"]), result["anomalies_total"]) == (100, 150)
    assert (len(result["rejected"]), result["rows_rejected"]) == (50, 60)
    told = result["summary"].splitlines()
    assert [line.split(".")[0] for line in told[1:11]] == [str(number) for number in range(1, 11)]
    assert told[11] == "… and 140 more in `anomalies`."
    assert result["anomalies"][0]["amount"] == "-159.00"


# --- properties -------------------------------------------------------------------------------------------------------


def test_the_order_of_rows_in_the_file_does_not_matter() -> None:
    lines = (PURUTOS / "puruto-financial" / "movements.csv").read_text(encoding="utf-8").splitlines()
    expected = None
    for seed in range(20):
        body = lines[1:]
        random.Random(seed).shuffle(body)
        reading = movements.read_movements("\n".join([lines[0], *body]).encode())
        reviewed = anomalies.review(reading.movements, LAST)
        found = [(one.movement.date, one.movement.payee, [f.kind for f in one.findings]) for one in reviewed.anomalies]
        expected = expected or found
        assert found == expected


amount_texts = st.decimals(min_value=-99_999, max_value=99_999, places=2).map(str)
some_rows = st.lists(
    st.tuples(
        st.dates(week(-400), LAST),
        st.sampled_from("AB"),
        st.sampled_from(["p", "q", "r", "s"]),
        amount_texts,
        st.sampled_from(["EUR", "USD"]),
        st.sampled_from(["", "1", "2", "3"]),
    ),
    max_size=60,
)


@given(rows=some_rows)
def test_totals_add_up_and_every_anomaly_is_a_movement_of_the_week(rows: list[tuple[Any, ...]]) -> None:
    text = HEADER + "".join(
        f"{when},{account},{payee},c,{amount},{currency},{number}\n"
        for when, account, payee, amount, currency, number in rows
    )
    reading = movements.read_movements(text.encode())
    assert (len(reading.movements), reading.rejected) == (len(rows), ())
    result = financial_report.report(reading, LAST, "es", "")
    unique, _ = anomalies.without_repeats(reading.movements)
    inside = [one for one in unique if FIRST <= one.date <= LAST]
    assert sum(Decimal(total["net"]) for total in result["totals"]) == sum(one.amount for one in inside)
    assert all(
        Decimal(total["income"]) - Decimal(total["spending"]) == Decimal(total["net"]) for total in result["totals"]
    )
    assert sum(total["movements"] for total in result["totals"]) == len(inside) == result["movements"]
    lines = [found["line"] for found in result["anomalies"]]
    assert len(lines) == len(set(lines))
    dates = {one.line: one.date for one in reading.movements}
    assert all(FIRST <= dates[line] <= LAST for line in lines)
    assert all(found["kinds"] == [one["kind"] for one in found["reasons"]] != [] for found in result["anomalies"])
    json.dumps(result, allow_nan=False)


@settings(max_examples=300)
@given(tail=st.binary(max_size=300), delimiter=st.sampled_from([",", ";", "\t"]))
def test_no_bytes_whatever_break_the_reading(tail: bytes, delimiter: str) -> None:
    raw = HEADER.replace(",", delimiter).encode() + tail
    reading = movements.read_movements(raw)
    result = financial_report.report(reading, None, "en", "2026-02-27")
    assert result["summary"]
    json.dumps(result, allow_nan=False)


@settings(max_examples=300)
@given(raw=st.binary(max_size=200))
def test_bytes_without_a_header_are_refused_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(movements.FileInvalid):
        movements.read_movements(raw)


@given(
    amount=st.decimals(min_value=-(10**12), max_value=10**12, places=2),
    comma=st.booleans(),
    grouped=st.booleans(),
)
def test_any_amount_with_cents_is_read_back_as_it_was_written(amount: Decimal, comma: bool, grouped: bool) -> None:
    text = f"{amount:,.2f}" if grouped else f"{amount:.2f}"
    text = text.translate(str.maketrans(",.", ".,")) if comma else text
    assert {movements.parse_amount(text, mark) for mark in (",", ".", "")} == {amount}


# --- requests ---------------------------------------------------------------------------------------------------------


def test_an_unknown_action_names_the_known_one(home: Path) -> None:
    error = ask(home, action="backup").error
    assert error["code"] == "UNKNOWN_ACTION"
    assert error["details"] == {"known": ["run"]}


@pytest.mark.process
@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_stdin_is_an_error_result(home: Path, case: str) -> None:
    raw, reason = BAD_REQUESTS[case]
    answer = ask_raw(home, raw)
    assert answer.error["code"] == "INVALID_REQUEST"
    assert reason in answer.error["message"]
