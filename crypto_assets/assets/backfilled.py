"""Which features of a training set rest on ``backfilled`` rows, and which of these a set leaves out by default."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from crypto_assets.dates import DAY
from crypto_assets.features.all_features import FEATURES
from crypto_assets.features.feature import table_of
from crypto_assets.tables.pit_quality import BACKFILLED, PIT_QUALITY
from crypto_assets.tables.registry import CONTRACTS, LOOK_BACK, may_be_backfilled, trained_on
from crypto_assets.tables.worst_quality import MARKET

# Reads (table, first day, last day, columns, symbols) as the training set reads the table.
Read = Callable[[str, date, date, Sequence[str], Sequence[str] | None], pl.DataFrame]


@dataclass(frozen=True)
class Resting:
    """What rests on backfilled rows.

    Attributes:
        kept: Table with such rows -> the features of the set that rest on it.
        left_out: Features that the set leaves out.
    """

    kept: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...]

    def without(self, names: Collection[str]) -> Resting:
        """Return the same for a set that lacks these features too."""
        kept = {table: tuple(n for n in features if n not in names) for table, features in self.kept.items()}
        return Resting({table: features for table, features in kept.items() if features}, self.left_out)


def backfilled_tables(
    tables: Iterable[str], read: Read, start: date, known_by: datetime, symbols: Sequence[str] | None
) -> tuple[str, ...]:
    """Find the inputs of ``ml_features`` that have backfilled rows which the features of a range may rest on.

    Args:
        tables: The inputs that exist.
        read: Reads a table.
        start: The first day of the features.
        known_by: Rows that became known later do not count, UTC.
        symbols: The coins; None for all.

    Returns:
        The names, in the order of the registry.
    """
    found = []
    for table, look_back in LOOK_BACK["ml_features"].items():
        if table not in tables or not may_be_backfilled(table):
            continue
        coins = [*symbols, MARKET] if symbols is not None and "symbol" in CONTRACTS[table].by_name else None
        rows = read(table, start - DAY * look_back, known_by.date(), ["available_at", PIT_QUALITY], coins)
        if rows.filter(pl.col(PIT_QUALITY) == BACKFILLED, pl.col("available_at") <= known_by).height:
            found.append(table)
    return tuple(found)


def resting(names: Sequence[str], tables: Sequence[str], *, allow: bool) -> Resting:
    """Sort the features of a set by the backfilled inputs that they rest on.

    A feature stays where each of its backfilled inputs is one that training sets had before ``pit_quality`` was there.

    Args:
        names: The features.
        tables: The inputs with backfilled rows.
        allow: Whether all of them stay.

    Returns:
        What stays and what is left out.
    """
    later = {table for table in tables if not trained_on(table)}
    left_out = () if allow else tuple(n for n in names if later & {table_of(origin) for origin in FEATURES[n].inputs})
    by_table = {table: tuple(name for name in names if table in FEATURES[name].tables) for table in tables}
    return Resting(by_table, left_out).without(left_out)
