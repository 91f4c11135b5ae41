"""What puruto-financial tells a person, in Spanish ("es") and English ("en")."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

_WORDS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "empty": "movements.csv no tiene movimientos.",
        "week": "Semana del {first} al {last}{source}: {movements}, {anomalies}.",
        "source": " (hasta el último movimiento del archivo)",
        "movements_none": "ningún movimiento",
        "movements_one": "1 movimiento",
        "movements_many": "{count} movimientos",
        "anomalies_none": "ninguna anomalía",
        "anomalies_one": "1 anomalía",
        "anomalies_many": "{count} anomalías",
        "anomaly": "{number}. {amount} · {payee} · {account} · {day}: {reasons}.",
        "more": "… y {count} más en `anomalies`.",
        "duplicate_out": "posible cargo duplicado, igual al del {day} (línea {line})",
        "duplicate_in": "posible abono duplicado, igual al del {day} (línea {line})",
        "repeated_same": "la misma fila ya está en la línea {line}; se cuenta una vez",
        "repeated_id": "su identificador {id} ya lo lleva la línea {line}",
        "unusual_payee": "importe inusual, lo habitual con {payee} son {median} ({count} movimientos)",
        "unusual_account": "importe inusual, lo habitual en esta cuenta son {median} ({count} movimientos)",
        "new_out": "beneficiario nuevo con un importe alto{habit}",
        "new_in": "ordenante nuevo con un importe alto{habit}",
        "new_habit": "; lo habitual en esta cuenta son {median}",
        "totals": "Totales: {accounts}.",
        "total": "{account}: ingresos {income}, gastos {spending}",
        "warning": "Aviso: {text}.",
        "rejected_one": "1 fila no se pudo leer (línea {lines})",
        "rejected_many": "{count} filas no se pudieron leer (líneas {lines})",
        "short": "hay poca historia para saber qué es nuevo o inusual (movimientos antes de esta semana: {count})",
        "old": "el último movimiento del archivo es de hace {days} días",
        "future": "el último movimiento del archivo está {days} días en el futuro",
    },
    "en": {
        "empty": "movements.csv has no movements.",
        "week": "Week of {first} to {last}{source}: {movements}, {anomalies}.",
        "source": " (up to the newest movement in the file)",
        "movements_none": "no movements",
        "movements_one": "1 movement",
        "movements_many": "{count} movements",
        "anomalies_none": "no anomalies",
        "anomalies_one": "1 anomaly",
        "anomalies_many": "{count} anomalies",
        "anomaly": "{number}. {amount} · {payee} · {account} · {day}: {reasons}.",
        "more": "… and {count} more in `anomalies`.",
        "duplicate_out": "possible duplicate charge, the same as on {day} (line {line})",
        "duplicate_in": "possible duplicate credit, the same as on {day} (line {line})",
        "repeated_same": "the same row is on line {line} already; it is counted once",
        "repeated_id": "its id {id} is already on line {line}",
        "unusual_payee": "unusual amount, with {payee} it is usually {median} ({count} movements)",
        "unusual_account": "unusual amount, on this account it is usually {median} ({count} movements)",
        "new_out": "new payee with a large sum{habit}",
        "new_in": "new payer with a large sum{habit}",
        "new_habit": "; on this account it is usually {median}",
        "totals": "Totals: {accounts}.",
        "total": "{account}: income {income}, spending {spending}",
        "warning": "Warning: {text}.",
        "rejected_one": "1 row could not be read (line {lines})",
        "rejected_many": "{count} rows could not be read (lines {lines})",
        "short": "there is little history to tell what is new or unusual (movements before this week: {count})",
        "old": "the newest movement in the file is {days} days old",
        "future": "the newest movement in the file is {days} days in the future",
    },
}
_CENT = Decimal("0.01")
_SWAP = str.maketrans(",.", ".,")


def say(language: str, key: str, **values: object) -> str:
    """The sentence `key` with its values filled in."""
    return _WORDS[language][key].format(**values)


def counted(language: str, key: str, count: int, **values: object) -> str:
    """ "1 movement", "3 movements": the form of `key` for this number."""
    form = "none" if count == 0 and f"{key}_none" in _WORDS[language] else "one" if count == 1 else "many"
    return say(language, f"{key}_{form}", count=count, **values)


def money(language: str, amount: Decimal, currency: str) -> str:
    """ "-1.850,00 EUR" in Spanish, "-1,850.00 EUR" in English; rounded to cents."""
    text = f"{amount.quantize(_CENT, ROUND_HALF_EVEN):,}"
    return f"{text.translate(_SWAP) if language == 'es' else text} {currency}"


def day(language: str, when: date) -> str:
    """ "25/02/2026" in Spanish, "2026-02-25" in English, where the day's place is a matter of country."""
    return f"{when:%d/%m/%Y}" if language == "es" else when.isoformat()
