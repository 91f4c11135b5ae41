"""Reading a bank's CSV: which delimiter, which decimals, which rows are movements and which are refused, and why."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

DELIMITERS = (";", ",", "\t")
#: The names that a column may have in a header, whatever their case and accents.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "booking date", "fecha", "fecha operacion"),
    "account": ("account", "iban", "cuenta"),
    "payee": ("payee", "counterparty", "beneficiario", "comercio", "contrapartida"),
    "concept": ("concept", "description", "concepto", "descripcion"),
    "amount": ("amount", "importe", "cantidad"),
    "currency": ("currency", "moneda", "divisa"),
    "id": ("id", "reference", "referencia"),
}
REQUIRED = ("date", "account", "amount")
DEFAULT_CURRENCY = "EUR"
MAX_DIGITS = 15
MAX_FIELD = 500
YEARS = range(1970, 2101)
#: A line of these alone is no row: spreadsheets leave such lines at the end.
_BLANK = " \t\0;,"


class FileInvalid(Exception):
    """The file as a whole can't be read as movements."""


@dataclass(frozen=True)
class Movement:
    """One row. `amount` is negative for money that leaves; `line` counts from 1, the header's line included."""

    line: int
    date: date
    account: str
    payee: str
    concept: str
    amount: Decimal
    currency: str
    id: str

    @property
    def payee_key(self) -> str:
        """The payee without case, accents and extra spaces."""
        return plain(self.payee)


@dataclass(frozen=True)
class Rejected:
    """A row that is not a movement."""

    line: int
    reason: str


@dataclass(frozen=True)
class Reading:
    """What a file holds: its movements in order of date, then line, and the rows that were refused."""

    movements: tuple[Movement, ...]
    rejected: tuple[Rejected, ...]


def read_movements(raw: bytes) -> Reading:
    """The movements in a CSV file with a header. Raises FileInvalid when there is no usable header.

    One movement a line, so that an unclosed quotation mark costs its own line and not the rest of the file. Delimiter
    ; , or tab; UTF-8 with or without BOM, else Windows-1252 or Latin-1; "1.234,56" or "1,234.56".
    """
    lines = [(number, line) for number, line in enumerate(_lines(decoded(raw)), 1) if line.strip(_BLANK)]
    if not lines:
        raise FileInvalid("the file is empty: it has no header line")
    delimiter, header = _header(lines[0][1])
    rows: list[tuple[int, Mapping[str, str]]] = []
    rejected: list[Rejected] = []
    for number, line in lines[1:]:
        try:
            rows.append((number, _fields(line, delimiter, header)))
        except ValueError as fault:
            rejected.append(Rejected(number, str(fault)))
    mark = decimal_mark([row["amount"] for _, row in rows])
    movements: list[Movement] = []
    for number, row in rows:
        try:
            movements.append(_movement(number, row, mark))
        except ValueError as fault:
            rejected.append(Rejected(number, str(fault)))
    movements.sort(key=lambda movement: (movement.date, movement.line))
    rejected.sort(key=lambda row: row.line)
    return Reading(tuple(movements), tuple(rejected))


def decoded(raw: bytes) -> str:
    """Text of a file whose encoding nobody said. Latin-1 takes any byte, so this never fails."""
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def plain(text: str) -> str:
    """`text` without case, accents and extra spaces, for comparing names that people typed."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())


def decimal_mark(texts: Sequence[str]) -> str:
    """The decimal mark of most of the amounts that leave no doubt; "" if neither prevails."""
    marks = Counter(_sure_mark(_bare(text)) for text in texts)
    if marks[","] == marks["."]:
        return ""
    return "," if marks[","] > marks["."] else "."


def parse_amount(text: str, usual_mark: str) -> Decimal:
    """ "-1.234,56 €", "1,234.56", "+12", "12,50-" as a Decimal. Raises ValueError.

    An amount that leaves no doubt is read as it is written, even where the rest of the file does otherwise. "1.234" has
    decimals if `usual_mark` is the point, else it is a thousand, because money has two decimals.
    """
    bare = _bare(text)
    sign = "-" if bare[:1] == "-" or bare[-1:] == "-" else ""
    digits = bare[:-1] if bare[-1:] == "-" and bare[:1] not in "+-" else bare.lstrip("+-")
    mark = _sure_mark(bare) or usual_mark or ("," if "." in bare else ".")
    group = "." if mark == "," else ","
    grouped = rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|\d+"
    if len(bare) - len(digits) > 1 or not re.fullmatch(rf"(?:{grouped})(?:{re.escape(mark)}\d+)?", digits, re.ASCII):
        raise ValueError(f"amount {text[:40]!r} is not a number")
    if sum(letter.isdigit() for letter in digits) > MAX_DIGITS:
        raise ValueError(f"amount {text[:40]!r} has more than {MAX_DIGITS} digits")
    return Decimal(sign + digits.replace(group, "").replace(mark, "."))


def parse_date(text: str) -> date:
    """ "2026-02-25" (a time after it is ignored), "25/02/2026", "25-02-26" or "25.02.2026": the day first."""
    found = re.fullmatch(r"(\d{4})-(\d\d?)-(\d\d?)(?:[T ].*)?", text, re.ASCII)
    parts = found.groups() if found else ()
    if not found:
        found = re.fullmatch(r"(\d\d?)([/.-])(\d\d?)\2(\d{4}|\d\d)", text, re.ASCII)
        parts = (found[4], found[3], found[1]) if found else ()
    if not parts:
        raise ValueError(f"date {text[:40]!r} is not a date")
    year, month, day = (int(part) for part in parts)
    year += 2000 if len(parts[0]) == 2 else 0
    if year not in YEARS:
        raise ValueError(f"date {text[:40]!r}: the year must be from {YEARS.start} to {YEARS.stop - 1}")
    try:
        return date(year, month, day)
    except ValueError:
        raise ValueError(f"date {text[:40]!r} is not in the calendar (the day comes first)") from None


def _lines(text: str) -> Iterator[str]:
    """Not splitlines(), which also splits at characters that a text may hold."""
    yield from text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _header(line: str) -> tuple[str, list[str]]:
    """The delimiter that finds the most known columns in a header, and the columns; "" for unknown ones."""
    best: tuple[str, list[str]] = (";", [])
    for delimiter in DELIMITERS:
        try:
            names = [_column(cell) for cell in _cells(line, delimiter)]
        except ValueError:
            continue
        if len(list(filter(None, names))) > len(list(filter(None, best[1]))):
            best = (delimiter, names)
    known = [name for name in best[1] if name]
    missing = [name for name in REQUIRED if name not in known]
    if not {"payee", "concept"} & set(known):
        missing.append("payee")
    if missing:
        raise FileInvalid(f"the header {line[:120]!r} lacks the column(s) {', '.join(missing)}")
    twice = [name for name, count in Counter(known).items() if count > 1]
    if twice:
        raise FileInvalid(f"the header {line[:120]!r} has more than one column for {', '.join(twice)}")
    return best


def _column(cell: str) -> str:
    name = plain(cell)
    return next((column for column, names in COLUMNS.items() if name in names), "")


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        cells = [_printable(cell) for cell in next(csv.reader([line], delimiter=delimiter, strict=True))]
    except csv.Error as fault:
        raise ValueError(f"the row can't be split: {fault}") from None
    if max(map(len, cells)) > MAX_FIELD:
        raise ValueError(f"a field is longer than {MAX_FIELD} characters")
    return cells


def _printable(cell: str) -> str:
    """A bank's text may hold anything, and this one goes to terminals and messengers."""
    return "".join(letter if letter.isprintable() else " " for letter in cell).strip()


def _fields(line: str, delimiter: str, header: Sequence[str]) -> Mapping[str, str]:
    cells = _cells(line, delimiter)
    if len(cells) != len(header):
        raise ValueError(f"the row has {len(cells)} fields, the header {len(header)}")
    return {name: cells[place] for place, name in enumerate(header) if name}


def _movement(number: int, row: Mapping[str, str], usual_mark: str) -> Movement:
    payee = row.get("payee", "") or row.get("concept", "")
    for name, value in (("account", row["account"]), ("payee", payee)):
        if not value:
            raise ValueError(f"{name} is empty")
    return Movement(
        line=number,
        date=parse_date(row["date"]),
        account=row["account"],
        payee=payee,
        concept=row.get("concept", ""),
        amount=parse_amount(row["amount"], usual_mark),
        currency=row.get("currency", "").upper() or DEFAULT_CURRENCY,
        id=row.get("id", ""),
    )


def _bare(text: str) -> str:
    """An amount without spaces and its euro sign, its minus the plain one. Any other currency has its own column."""
    text = re.sub(r"\s|€|EUR", "", text)
    return text.replace("\N{MINUS SIGN}", "-")


def _sure_mark(bare: str) -> str:
    """The decimal mark of an amount that leaves no doubt, else "": "1.234" may be a thousand or one and a bit."""
    places = {mark: bare.rfind(mark) for mark in ".," if mark in bare}
    if len(places) == 2:
        return max(places, key=lambda mark: places[mark])
    for mark in places:
        other = "," if mark == "." else "."
        if bare.count(mark) > 1:
            return other
        decimals = bare.rstrip("-")[places[mark] + 1 :]
        return "" if len(decimals) == 3 else mark
    return ""
