"""What a derived table would hold if it were derived again now, and on which days that is not what it holds.

A window reaches far, but a late value changes only the hours that could have seen it. Which ones is not reasoned
about: the asset itself is called on the inputs as they are now, and its rows are compared with the stored ones.
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
MOST_ROWS = 500_000  # of a table, beyond which days are taken for changed untried
CLOSE = 1e-9  # relative: what chunking may do to a float


class DryRun:
    """Tables as stored, but for the days that were tried: those are as they would become."""

    def __init__(self, warehouse: Warehouse, providers: Providers) -> None:
        self._warehouse = warehouse
        self._providers = providers
        self._fresh: dict[str, dict[date, pl.DataFrame]] = {}

    def affordable(self, table: str, days: Collection[date]) -> bool:
        if table not in _triable() or not days:
            return False
        rows = self._warehouse.days_with_rows(table, min(days), max(days))
        return sum(rows.get(day, 0) for day in days) <= MOST_ROWS

    def changed(self, table: str, days: Collection[date]) -> list[date]:
        """Those of the days whose rows would not be the stored ones, within float tolerance."""
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
        asset = _triable()[table]
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
def _triable() -> dict[str, Any]:
    """The assets that can be tried: no provider and no model is behind them, so a try takes seconds and has no effect."""
    every = [asset for duty in assets.dagster_modules() for asset in getattr(duty, "ASSETS", ())]
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
