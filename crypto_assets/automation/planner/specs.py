"""The part of the tables' declarations that the planner uses.

This is the only file of the planner that reads the declarations. All others take a :class:`Specs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from crypto_assets.assets.shell import DAILY, days_at_most, days_in_memory
from crypto_assets.automation.schedules import FRESHNESS, SETTLES_AFTER
from crypto_assets.catalog import select
from crypto_assets.settings import Settings
from crypto_assets.tables.registry import LOOK_BACK, REQUIRED_INPUTS, TABLES, monthly, wide_chunks


@dataclass(frozen=True)
class Specs:
    """What plans are made from.

    Attributes:
        look_back: Derived table -> input -> days of look-back, in topological order.
        required_inputs: Derived table -> inputs of which any one is enough to give it rows.
        settles_after: Table -> how long after the end of a day its provider has the whole day.
        kept_up: The tables that are kept complete automatically.
        first_day: The first day of the calendar.
        days_at_most: Table -> the most days that one run of it covers, regardless of memory.
        days_in_memory: Large table -> the most days of it that fit the memory of one run.
        last_day: The last day of the calendar, where a demo's recordings end; None where days go on.
        wide: Table of a provider that makes fewer requests in longer runs -> days of such a run.
        monthly: Tables whose partitions are months.
    """

    look_back: Mapping[str, Mapping[str, int]]
    required_inputs: Mapping[str, tuple[str, ...]]
    settles_after: Mapping[str, timedelta]
    kept_up: tuple[str, ...]
    first_day: date
    days_at_most: Mapping[str, int]
    days_in_memory: Mapping[str, int]
    last_day: date | None = None
    wide: Mapping[str, int] = field(default_factory=dict)
    monthly: frozenset[str] = frozenset()

    def has(self, table: str, day: date) -> bool:
        """Return whether a partition of the table begins on this day."""
        return table not in self.monthly or day.day == 1

    def rank(self, table: str) -> int:
        """Return the position in the graph: 0 for fetched tables; an input is lower than the tables derived from it."""
        return list(self.look_back).index(table) + 1 if table in self.look_back else 0

    def in_order(self, tables: Iterable[str]) -> tuple[str, ...]:
        """Return the tables without repetition, inputs first."""
        return tuple(sorted(set(tables), key=lambda table: (self.rank(table), table)))

    def chunk_days(self, tables: Iterable[str]) -> int:
        """Return the most days that one run of these tables covers, regardless of memory."""
        return min(self.days_at_most[table] for table in tables)

    def downstream(self, table: str) -> tuple[str, ...]:
        """Return the table and all tables that are derived from it, inputs first."""
        found = [table]
        for derived, inputs in self.look_back.items():
            if derived not in found and set(inputs) & set(found):
                found.append(derived)
        return tuple(found)


def current() -> Specs:
    """Return the specs of this installation, for the coins that are configured now."""
    coins = len(select(Settings.from_env().coins))
    return Specs(
        look_back=LOOK_BACK,
        required_inputs=REQUIRED_INPUTS,
        settles_after=SETTLES_AFTER,
        kept_up=tuple(FRESHNESS),
        first_day=DAILY.start.date(),
        days_at_most={name: days_at_most(table) for name, table in TABLES.items() if table.chunk is not None},
        days_in_memory={
            name: days_in_memory(table, coins)
            for name, table in TABLES.items()
            if table.chunk is not None and table.chunk.hourly_rows is not None
        },
        last_day=Settings.from_env().last_day,
        wide={name: days_at_most(TABLES[name]) for name in wide_chunks()},
        monthly=monthly(),
    )
