"""Derive tables again without writing, to find the days whose stored rows would change.

A late value changes only some of the hours whose window contains it. To find them, the asset itself is called with the
current inputs, and its rows are compared with the stored ones.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from functools import cache
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from crypto_assets import assets
from crypto_assets.assets.providers import Providers
from crypto_assets.dates import DAY, chunks, runs_of
from crypto_assets.storage.io_manager import to_pandas
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables import registry
from crypto_assets.tables.registry import LOOK_BACK
from crypto_assets.tables.schemas import CONTRACTS

CHUNK_DAYS = 31
MOST_ROWS = 500_000  # of a table; for more rows every day counts as changed without a try
CLOSE = 1e-9  # relative difference of floats that chunking may cause


class DryRun:
    """Reads the tables as stored, except for days that were derived again: these are read as they would become.

    Args:
        warehouse: The tables.
        providers: Settings and coins for the assets.
    """

    def __init__(self, warehouse: Warehouse, providers: Providers) -> None:
        self._warehouse = warehouse
        self._providers = providers
        self._fresh: dict[str, dict[date, pl.DataFrame]] = {}

    def affordable(self, table: str, days: Collection[date]) -> bool:
        """Return whether the table has no side effects and these days have at most ``MOST_ROWS`` rows."""
        if table not in _assets_without_side_effects() or not days:
            return False
        rows = self._warehouse.days_with_rows(table, min(days), max(days))
        return sum(rows.get(day, 0) for day in days) <= MOST_ROWS

    def changed(self, table: str, days: Collection[date]) -> list[date]:
        """Derive days again and compare them with the stored rows.

        Args:
            table: A table for which :meth:`affordable` is true.
            days: The days.

        Returns:
            The days whose rows would change by more than the float tolerance, in order.

        Raises:
            WarehouseError: A table cannot be read.
        """
        found = []
        for start, end in runs_of(days):
            for first, last in chunks(start, end, CHUNK_DAYS):
                after = _by_day(self._derive(table, first, last))
                before = _by_day(self._warehouse.read(table, start=first, end=last))
                for day in after.keys() | before.keys():
                    none = CONTRACTS[table].empty()
                    if not _same(after.get(day, none), before.get(day, none)):
                        found.append(day)
                        self._fresh.setdefault(table, {})[day] = after.get(day, none)
        return sorted(found)

    def _derive(self, table: str, start: date, end: date) -> pl.DataFrame:
        asset = _assets_without_side_effects()[table]
        inputs = {}
        for name, given in asset.op.ins.items():
            frame = self._read(name, start - DAY * LOOK_BACK[table][name], end)
            wanted = given.dagster_type.typing_type
            inputs[name] = frame if wanted is pl.DataFrame else to_pandas(frame)
        context = dg.build_asset_context(
            partition_key_range=dg.PartitionKeyRange(start.isoformat(), end.isoformat()),
            resources={"providers": self._providers},
        )
        with context:
            return CONTRACTS[table].conform(asset(context, **inputs))

    def _read(self, table: str, start: date, end: date) -> pl.DataFrame:
        stored = self._warehouse.read(table, start=start, end=end)
        fresh = {day: rows for day, rows in self._fresh.get(table, {}).items() if start <= day <= end}
        if not fresh:
            return stored
        kept = stored.filter(~pl.col("date").is_in(list(fresh)))
        return pl.concat([kept, *fresh.values()]).sort(CONTRACTS[table].key)


@cache
def _assets_without_side_effects() -> dict[str, Any]:
    """Return the assets without side effects: they need no provider and no model."""
    every = [asset for module in assets.dagster_modules() for asset in getattr(module, "ASSETS", ())]
    single = {
        asset.key.to_user_string(): asset
        for asset in every
        if isinstance(asset, dg.AssetsDefinition) and len(asset.keys) == 1
    }
    return {table: single[table] for table in registry.dry_run_tables()}


def _by_day(frame: pl.DataFrame) -> dict[date, pl.DataFrame]:
    return {key[0]: rows for key, rows in frame.partition_by("date", as_dict=True).items()}


def _same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    if one.equals(other):
        return True
    floats = [name for name, kind in one.schema.items() if kind == pl.Float64]
    if one.height != other.height or not one.drop(floats).equals(other.drop(floats)):
        return False
    return all(
        np.allclose(one[name].to_numpy(), other[name].to_numpy(), rtol=CLOSE, atol=0, equal_nan=True) for name in floats
    )
