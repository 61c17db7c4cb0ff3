"""Single cells of a provider's answer, read by the contract of their table: what it cannot take is null, and noted.

What does not belong here: shapes of whole answers, which each source checks for itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date

from crypto_assets.contract import Column, Contract
from crypto_assets.errors import SourceError
from crypto_assets.partitions import DAY
from crypto_assets.sources.fetched import SetAside, SetAsideLog

NOT_A_NUMBER, NOT_FINITE, TOO_LARGE = "not a number", "not finite", "too large for a number"
CONTRADICTED = "given twice with different values"
NO_OBJECT = "the row is no object"
UNREADABLE_TIME = "its time cannot be read"


def parsed(value: object) -> float | None:
    """A finite float from JSON; None for absent, empty and "NaN". Raises :class:`ValueError` with the reason."""
    if value is None or value == "" or value == "NaN":
        return None
    strange = isinstance(value, str) and ("_" in value or not value.isascii())
    if strange or isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(NOT_A_NUMBER)
    try:
        found = float(value)
    except OverflowError:
        raise ValueError(TOO_LARGE) from None
    except ValueError:
        raise ValueError(NOT_A_NUMBER) from None
    if not math.isfinite(found):
        raise ValueError(NOT_FINITE)
    return found


def outside(value: float, column: Column) -> str:
    """Which bound of its column the value breaks, as a reason; empty where it keeps them."""
    if column.lower is not None and value < column.lower:
        return f"below {column.lower:g}"
    if column.above is not None and value <= column.above:
        return f"not above {column.above:g}"
    if column.upper is not None and value > column.upper:
        return f"above {column.upper:g}"
    return ""


class Cells:
    """Reads the cells of one table. Each cell that is set aside goes to the log by subject, day and column."""

    def __init__(self, contract: Contract, log: SetAsideLog) -> None:
        self._columns = contract.by_name
        self._log = log

    def read(
        self, raw: object, column: str, subject: str, day: date, *, scale: float = 1, given: str = ""
    ) -> float | None:
        """The value of one cell in the column's unit, or None.

        Args:
            raw: what the provider gave.
            column: the column's name; its bounds apply after ``scale``, and the placeholder 0 of its contract is null.
            subject: whom the cell is about.
            day: the UTC day that it is about.
            scale: what the provider's number is multiplied by, e.g. 0.01 for percents.
            given: what to say of the cell beside its value, e.g. the venue.

        Returns:
            The value; None where the provider has none, and where its value is set aside (then the log has it).
        """
        rule = self._columns[column]
        try:
            value = parsed(raw)
            if value is None or (value == 0 and rule.placeholder == "0"):
                return None
            reason = outside(value * scale, rule)
            if not reason:
                return value * scale
        except ValueError as error:
            reason = str(error)
        self._log.add(subject, day, reason, f"{given}: {raw}" if given else raw, column)
        return None


def place(days: Sequence[date | None], start: date, last: date, *, rising: bool = True) -> dict[int, date]:
    """Where in the window the rows of unreadable time stand: index -> day, of those that can lie in it.

    Providers keep their history in order, so such a row lies between the readable rows before and behind it. One that
    can only lie outside ``start``..``last`` is not in the result: it says nothing about the days that were asked for.
    ``rising`` is the provider's order, for an answer whose readable rows do not show it.
    """
    if None not in days:
        return {}
    known = [day for day in days if day is not None]
    rising = known[0] < known[-1] if known and known[0] != known[-1] else rising
    before = _nearest(days)
    behind = _nearest(days[::-1])[::-1]
    found = {}
    for index, day in enumerate(days):
        if day is not None:
            continue
        low, high = (before[index], behind[index]) if rising else (behind[index], before[index])
        low = low + DAY if low is not None else None
        high = high - DAY if high is not None else None
        if low is not None and high is not None and low > high:  # neighbours without a day between them
            low, high = high, low
        first = max(low or (high if known and high is not None else start), start)
        if first <= last and (high is None or high >= start):
            found[index] = first
    return found


def _nearest(days: Sequence[date | None]) -> list[date | None]:
    """For each place the newest readable day in front of it."""
    found: list[date | None] = []
    seen: date | None = None
    for day in days:
        found.append(seen)
        seen = day if day is not None else seen
    return found


def require_readable(unreadable: int, rows: int, what: str, why: str) -> None:
    """Refuse an answer of which most rows cannot be read: then its format changed, and the others are doubtful too.

    Raises:
        SourceError: more than half of the rows are unreadable.
    """
    if 2 * unreadable > rows:
        raise SourceError(
            f"{what}: {unreadable} of {rows} row(s) cannot be read ({why}), so that the others are doubtful too; nothing "
            "was written; the format must be the documented one again: try again later, or report it to the provider"
        )


def summary(records: Iterable[SetAside]) -> str:
    """The first record as a sentence part, and how many observations there are beside it; empty without any."""
    listed = list(records)
    if not listed:
        return ""
    first, more = listed[0], sum(record.count for record in listed) - 1
    what = f"{first.column} of {first.subject}" if first.column else first.subject
    return f"{what} on {first.day}: {first.reason} ({first.example}){f', and {more} more' if more else ''}"
