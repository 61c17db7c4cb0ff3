"""What reasons hand to the planner: days that should be materialised, and what is under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class WantedDay:
    """One day of one table that should be materialised, and why.

    Attributes:
        table: The name of the table.
        day: The partition.
        reason: A sentence for the tag of the run.
        coins: Only these coins are fetched; empty: all coins. A derived table is always made for all coins.
    """

    table: str
    day: date
    reason: str
    coins: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnderWay:
    """What unfinished runs will materialise.

    Attributes:
        spans: (tables, first day, last day) of each run.
    """

    spans: tuple[tuple[frozenset[str], date, date], ...] = ()

    def covers(self, table: str, day: date) -> bool:
        """Return whether one of the runs will materialise this day of the table."""
        return any(table in tables and first <= day <= last for tables, first, last in self.spans)
