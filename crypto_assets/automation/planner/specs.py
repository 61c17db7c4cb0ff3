"""The part of the tables' declarations that the planner uses.

This is the only file of the planner that reads the declarations. All others take a :class:`Specs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from crypto_assets.assets.shell import DAILY, DERIVED_CHUNK_DAYS, SOURCE_CHUNK_DAYS, feature_chunk_days
from crypto_assets.automation.schedules import FRESHNESS, SETTLES_AFTER
from crypto_assets.catalog import select
from crypto_assets.settings import Settings
from crypto_assets.tables.registry import LOOK_BACK, REQUIRED_INPUTS
from crypto_assets.tables.schemas import ML_FEATURES


@dataclass(frozen=True)
class Specs:
    """What plans are made from.

    Attributes:
        look_back: Derived table -> input -> days of look-back, in topological order.
        required_inputs: Derived table -> inputs of which any one is enough to give it rows.
        settles_after: Table -> how long after the end of a day its provider has the whole day.
        kept_up: The tables that are kept complete automatically.
        first_day: The first day of the calendar.
        source_chunk_days: The most days of one run that calls a provider.
        derived_chunk_days: The most days of one run that only derives.
        most_days: Large table -> the most days of it that fit the memory of one run.
    """

    look_back: Mapping[str, Mapping[str, int]]
    required_inputs: Mapping[str, tuple[str, ...]]
    settles_after: Mapping[str, timedelta]
    kept_up: tuple[str, ...]
    first_day: date
    source_chunk_days: int
    derived_chunk_days: int
    most_days: Mapping[str, int]

    def rank(self, table: str) -> int:
        """Return the position in the graph: 0 for fetched tables; an input is lower than the tables derived from it."""
        return list(self.look_back).index(table) + 1 if table in self.look_back else 0

    def in_order(self, tables: Iterable[str]) -> tuple[str, ...]:
        """Return the tables without repetition, inputs first."""
        return tuple(sorted(set(tables), key=lambda table: (self.rank(table), table)))

    def chunk_days(self, tables: Iterable[str]) -> int:
        """Return the most days that one run of these tables covers, regardless of memory."""
        return self.derived_chunk_days if set(tables) <= set(self.look_back) else self.source_chunk_days

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
        source_chunk_days=SOURCE_CHUNK_DAYS,
        derived_chunk_days=DERIVED_CHUNK_DAYS,
        most_days={ML_FEATURES.table: feature_chunk_days(coins)},
    )
