"""Read single cells of an answer by the contract of their table.

A cell that the contract does not allow becomes null and is logged. Checks on the shape of a whole answer do not belong
here; each source does its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date

from crypto_assets.dates import DAY
from crypto_assets.errors import SourceError
from crypto_assets.sources.fetched import SetAside, SetAsideLog
from crypto_assets.tables.contract import Column, Contract

NOT_A_NUMBER, NOT_FINITE, TOO_LARGE = "not a number", "not finite", "too large for a number"
CONTRADICTED = "given twice with different values"
NO_OBJECT = "the row is no object"
UNREADABLE_TIME = "its time cannot be read"


def parsed(value: object) -> float | None:
    """Read a number from JSON.

    Args:
        value: a number or a string.

    Returns:
        A finite float; None for an absent value, an empty string and "NaN".

    Raises:
        ValueError: the value is not a finite number; the message is the reason.
    """
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
    """Say which bound of its column a value breaks.

    Args:
        value: the value, in the column's unit.
        column: the column of the contract.

    Returns:
        The reason; an empty string where the value is within the bounds.
    """
    if column.lower is not None and value < column.lower:
        return f"below {column.lower:g}"
    if column.above is not None and value <= column.above:
        return f"not above {column.above:g}"
    if column.upper is not None and value > column.upper:
        return f"above {column.upper:g}"
    return ""


class Cells:
    """Reads the cells of one table, and logs each cell that is set aside by subject, day and column."""

    def __init__(self, contract: Contract, log: SetAsideLog) -> None:
        self._columns = contract.by_name
        self._log = log

    def read(
        self, raw: object, column: str, subject: str, day: date, *, scale: float = 1, given: str = ""
    ) -> float | None:
        """Read one cell.

        Args:
            raw: the value as the provider gave it.
            column: the column's name. Its bounds apply after ``scale``. If its contract names the placeholder 0, then 0
                is null.
            subject: the coin, chain or venue that the cell is about.
            day: the UTC day that the cell is about.
            scale: the factor for the provider's number, e.g. 0.01 for percents.
            given: text to log beside the value, e.g. the venue.

        Returns:
            The value in the column's unit; None where the provider has none, and where the value is set aside (and
            logged).
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
    """Find the days that rows with an unreadable time can belong to.

    Providers keep their history in order, so such a row lies between its readable neighbours. A row that can only lie
    outside ``start``..``last`` says nothing about the days that were asked for, and is left out of the result.

    Args:
        days: the day of each row, in the order of the answer; None where it cannot be read.
        start: the first day that was asked for.
        last: the last day that was asked for, included.
        rising: the provider's order, used when the readable rows do not show it.

    Returns:
        Position in ``days`` -> day, for the unreadable rows that can lie in the window.
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
    """For each position, return the newest readable day before it."""
    found: list[date | None] = []
    seen: date | None = None
    for day in days:
        found.append(seen)
        seen = day if day is not None else seen
    return found


def require_readable(unreadable: int, rows: int, what: str, why: str) -> None:
    """Refuse an answer of which most rows cannot be read.

    In that case the format has probably changed, and the readable rows are doubtful too.

    Args:
        unreadable: how many rows cannot be read.
        rows: how many rows the answer has.
        what: the provider, route and window.
        why: an example of what is wrong.

    Raises:
        SourceError: more than half of the rows are unreadable.
    """
    if 2 * unreadable > rows:
        raise SourceError(
            f"{what}: {unreadable} of {rows} row(s) cannot be read ({why}), so that the others are doubtful too; nothing "
            "was written; the format must be the documented one again: try again later, or report it to the provider"
        )


def summary(records: Iterable[SetAside]) -> str:
    """Describe records in part of a sentence: the first one, and the number of further observations.

    Args:
        records: what was set aside.

    Returns:
        The text; empty without records.
    """
    listed = list(records)
    if not listed:
        return ""
    first, more = listed[0], sum(record.count for record in listed) - 1
    what = f"{first.column} of {first.subject}" if first.column else first.subject
    return f"{what} on {first.day}: {first.reason} ({first.example}){f', and {more} more' if more else ''}"
