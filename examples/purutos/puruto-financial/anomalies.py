"""What is unusual among a week's movements, measured against all that came before it. No files, no clock, no texts.

The measure of "far" is the modified z-score of Iglewicz and Hoaglin ("How to Detect and Handle Outliers", 1993):
the distance from the median in units of 1.4826 times the median absolute deviation. They suggest 3.5 for data that
is normal but for its outliers; what people spend has longer tails, so that 5 is used here, and a floor under the unit
keeps a subscription that has always cost the same from being flagged for a few cents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

from movements import Movement

DUPLICATE = "duplicate"
REPEATED_ID = "repeated_id"
UNUSUAL_AMOUNT = "unusual_amount"
NEW_PAYEE = "new_payee"

#: What an amount is compared with.
PAYEE = "payee"
ACCOUNT = "account"

WEEK = timedelta(days=7)
DUPLICATE_WINDOW = timedelta(days=3)
#: Two coffees are no duplicate charge.
DUPLICATE_FROM = Decimal(5)
#: With so many such pairs in the past, the same amount again is this payee's way: a coffee, a fare.
HABITUAL_PAIRS = 2
#: History older than this says little about what is usual now.
HISTORY_WINDOW = timedelta(days=366)

FAR = Decimal(5)
MAD_TO_DEVIATION = Decimal("1.4826")
FLOOR_SHARE = Decimal("0.10")
PAYEE_FLOOR = Decimal(5)
#: An account holds bread and rent: only what lies clearly above its many small amounts is worth a line.
ACCOUNT_FLOOR = Decimal(25)
#: Movements with a payee before its own median counts as a habit; and of an account before the account's does.
MIN_PAYEE_HISTORY = 3
MIN_ACCOUNT_HISTORY = 10
#: A payee seen only once or twice may rise this much above its highest amount before the account's habit is asked.
RARE_PAYEE_RISE = Decimal("1.5")

LARGE_SUM = Decimal(300)
#: With fewer movements than this before the week, every payee would be new.
MIN_HISTORY_FOR_NEW = 20


@dataclass(frozen=True)
class Habit:
    """How large an account's movements (`scope` ACCOUNT) or those with one payee of it (PAYEE) are, without sign."""

    scope: str
    count: int
    median: Decimal
    unit: Decimal

    def distance(self, amount: Decimal) -> Decimal:
        """How many units the size of `amount` lies away from the median."""
        return abs(abs(amount) - self.median) / self.unit


@dataclass(frozen=True)
class Finding:
    """One reason. `earlier` is the movement that a duplicate repeats, `habit` what an amount was compared with."""

    kind: str
    earlier: Movement | None = None
    identical: bool = False
    habit: Habit | None = None


@dataclass(frozen=True)
class Anomaly:
    """A movement of the week with every reason why it stands out."""

    movement: Movement
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Review:
    """A week: its movements, its anomalies (largest amount first), and how much history there was to compare with."""

    first: date
    last: date
    week: tuple[Movement, ...]
    anomalies: tuple[Anomaly, ...]
    history_size: int

    @property
    def payees_judged(self) -> bool:
        """False when there was too little history to call any payee new."""
        return self.history_size >= MIN_HISTORY_FOR_NEW


def review(movements: Sequence[Movement], last: date) -> Review:
    """Judge the 7 days that end with `last`, that day included. `movements` are in order of date, then line."""
    first = last - WEEK + timedelta(days=1)
    unique, repeats = without_repeats(movements)
    history = [one for one in unique if first - HISTORY_WINDOW <= one.date < first]
    week = [one for one in unique if first <= one.date <= last]
    findings: dict[int, list[Finding]] = defaultdict(list)
    for later, finding in repeats:
        findings[later.line].append(finding)
    for later, earlier in duplicates([*history, *week], first):
        findings[later.line].append(Finding(DUPLICATE, earlier=earlier))
    book = _Book(history)
    for movement in week:
        findings[movement.line] += book.judge(movement)
    inside = [one for one in movements if first <= one.date <= last and findings[one.line]]
    found = [Anomaly(one, tuple(findings[one.line])) for one in inside]
    found.sort(key=lambda anomaly: (-abs(anomaly.movement.amount), anomaly.movement.date, anomaly.movement.line))
    return Review(first, last, tuple(week), tuple(found), len(history))


def without_repeats(movements: Iterable[Movement]) -> tuple[list[Movement], list[tuple[Movement, Finding]]]:
    """Movements without the rows that are there twice, and every row whose id an earlier row of the account has.

    A row that is the same in everything is one movement exported twice and is dropped; one that only has the same id
    stays.
    """
    unique: list[Movement] = []
    repeats: list[tuple[Movement, Finding]] = []
    seen: dict[tuple[str, str], Movement] = {}
    for movement in movements:
        earlier = seen.setdefault((movement.account, movement.id), movement) if movement.id else movement
        identical = earlier is not movement and _content(earlier) == _content(movement)
        if earlier is not movement:
            repeats.append((movement, Finding(REPEATED_ID, earlier=earlier, identical=identical)))
        if not identical:
            unique.append(movement)
    return unique, repeats


def duplicates(movements: Iterable[Movement], first: date) -> list[tuple[Movement, Movement]]:
    """(later, earlier) for each movement from `first` on that repeats the one before it within three days.

    The same means account, payee, amount (of at least DUPLICATE_FROM) and currency, with ids that differ or are
    missing. Where the past has at least HABITUAL_PAIRS such pairs, it is what this payee always does.
    """
    groups: dict[tuple[object, ...], list[Movement]] = defaultdict(list)
    for movement in movements:
        if abs(movement.amount) < DUPLICATE_FROM:
            continue
        groups[(movement.account, movement.payee_key, movement.amount, movement.currency)].append(movement)
    found = []
    for group in groups.values():
        pairs = [(group[place], group[place - 1]) for place in range(1, len(group))]
        pairs = [pair for pair in pairs if _repeats(*pair)]
        recent = [pair for pair in pairs if pair[0].date >= first]
        if len(pairs) - len(recent) < HABITUAL_PAIRS:
            found += recent
    return found


def _repeats(later: Movement, earlier: Movement) -> bool:
    return later.date - earlier.date <= DUPLICATE_WINDOW and not (later.id and later.id == earlier.id)


def habit_of(amounts: Sequence[Decimal], scope: str) -> Habit:
    """The habit in these amounts, of which there must be at least one."""
    sizes = [abs(amount) for amount in amounts]
    middle = median(sizes)
    deviation = MAD_TO_DEVIATION * median(abs(size - middle) for size in sizes)
    floor = PAYEE_FLOOR if scope == PAYEE else ACCOUNT_FLOOR
    return Habit(scope, len(sizes), middle, max(deviation, FLOOR_SHARE * middle, floor))


class _Book:
    """The past, arranged for judging. Money in and money out, and each currency, have habits of their own."""

    def __init__(self, history: Iterable[Movement]) -> None:
        self._accounts: dict[tuple[object, ...], list[Decimal]] = defaultdict(list)
        self._payees: dict[tuple[object, ...], list[Decimal]] = defaultdict(list)
        self._known: set[str] = set()
        self._size = 0
        for movement in history:
            side = _side(movement)
            self._accounts[side].append(movement.amount)
            self._payees[(*side, movement.payee_key)].append(movement.amount)
            self._known.add(movement.payee_key)
            self._size += 1

    def judge(self, movement: Movement) -> list[Finding]:
        """What is unusual about one movement; a payee is judged as new or by its habit, never both."""
        if not movement.amount:
            return []
        same = self._payees.get((*_side(movement), movement.payee_key), [])
        if len(same) >= MIN_PAYEE_HISTORY:
            habit = habit_of(same, PAYEE)
            return [Finding(UNUSUAL_AMOUNT, habit=habit)] if habit.distance(movement.amount) > FAR else []
        account = self._account_habit(movement)
        above = account is None or self._far_above(account, movement)
        if movement.payee_key not in self._known:
            large = self._size >= MIN_HISTORY_FOR_NEW and abs(movement.amount) >= LARGE_SUM and above
            return [Finding(NEW_PAYEE, habit=account)] if large else []
        highest = max((abs(amount) for amount in same), default=Decimal(0))
        risen = abs(movement.amount) > RARE_PAYEE_RISE * highest
        return [Finding(UNUSUAL_AMOUNT, habit=account)] if account and above and risen else []

    def _account_habit(self, movement: Movement) -> Habit | None:
        amounts = self._accounts.get(_side(movement), [])
        return habit_of(amounts, ACCOUNT) if len(amounts) >= MIN_ACCOUNT_HISTORY else None

    @staticmethod
    def _far_above(habit: Habit, movement: Movement) -> bool:
        return abs(movement.amount) > habit.median and habit.distance(movement.amount) > FAR


def _side(movement: Movement) -> tuple[object, ...]:
    return (movement.account, movement.currency, movement.amount > 0)


def _content(movement: Movement) -> tuple[object, ...]:
    return (movement.date, movement.payee, movement.concept, movement.amount, movement.currency)
