"""The words between reasons and planner: a wanted_day, and what is under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class WantedDay:
    """One day of one table that should be materialised, and why.

    Attributes:
        table: Its name.
        day: The partition.
        reason: A sentence for the run's tag.
        coins: Only these coins are to be fetched; empty: all. A derived table is always made whole.
    """

    table: str
    day: date
    reason: str
    coins: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnderWay:
    """What unfinished runs will materialise: (tables, first day, last day) each."""

    spans: tuple[tuple[frozenset[str], date, date], ...] = ()

    def covers(self, table: str, day: date) -> bool:
        """Whether one of the runs will materialise this day of the table."""
        return any(table in tables and first <= day <= last for tables, first, last in self.spans)
