"""What the planner knows about tables: look-back, required inputs, when a day settles, how much one run may hold.

This is the only file of the planner that reads the declarations. Everything else takes a :class:`Specs`.
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
    """The part of the tables' declarations that plans rest on."""

    look_back: Mapping[str, Mapping[str, int]]  # derived table -> input -> days back; in topological order
    required_inputs: Mapping[str, tuple[str, ...]]  # derived table -> inputs of which any one gives it rows
    settles_after: Mapping[str, timedelta]  # table -> how long after a day's end its provider has the whole day
    kept_up: tuple[str, ...]  # the tables that are kept complete without anybody asking
    first_day: date  # of the calendar
    source_chunk_days: int  # days of one run that asks a provider, at most
    derived_chunk_days: int  # days of one run that only derives, at most
    most_days: Mapping[str, int]  # table whose rows are many -> days of it that fit the memory of one run
    last_day: date | None = None  # of the calendar, where a demo's recordings end; None where days go on

    def rank(self, table: str) -> int:
        """The place in the graph: 0 for what is fetched; an input always has a lower one than what is derived from it."""
        return list(self.look_back).index(table) + 1 if table in self.look_back else 0

    def in_order(self, tables: Iterable[str]) -> tuple[str, ...]:
        """The tables without repetition, inputs first."""
        return tuple(sorted(set(tables), key=lambda table: (self.rank(table), table)))

    def chunk_days(self, tables: Iterable[str]) -> int:
        """Days that one run of these tables covers at most, before the memory is looked at."""
        return self.derived_chunk_days if set(tables) <= set(self.look_back) else self.source_chunk_days

    def downstream(self, table: str) -> tuple[str, ...]:
        """The table and everything that is derived from it, inputs first."""
        found = [table]
        for derived, inputs in self.look_back.items():
            if derived not in found and set(inputs) & set(found):
                found.append(derived)
        return tuple(found)


def current() -> Specs:
    """The specs of this installation, with the coins that are configured now."""
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
        last_day=Settings.from_env().last_day,
    )
