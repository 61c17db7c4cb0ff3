"""Every table with what it holds now, as one frame."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl

from crypto_assets.checks import state
from crypto_assets.dates import DAY
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.spec import TableSpec

SCHEMA: dict[str, Any] = {
    "table": pl.String,
    "group": pl.String,
    "grain": pl.String,
    "rows": pl.Int64,
    "first_day": pl.Date,
    "last_day": pl.Date,
    "coverage": pl.Float64,
    "newest": TIMESTAMP,
    "fresh": pl.Boolean,
    "fresh_within": pl.Duration("us"),
    "pit_quality": pl.List(pl.String),
    "units": pl.List(pl.String),
    "version": pl.Int64,
    "description": pl.String,
}


def catalogue(warehouse: Warehouse, settings: Settings, now: datetime) -> pl.DataFrame:
    """List the tables.

    Args:
        warehouse: the tables.
        settings: the first day that is due, and the coins.
        now: the instant, UTC.

    Returns:
        A row a table, with the columns of :data:`SCHEMA`.

    Raises:
        WarehouseError: a table cannot be read.
    """
    rows = [_row(warehouse, settings, spec, now) for spec in TABLES.values()]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _row(warehouse: Warehouse, settings: Settings, spec: TableSpec, now: datetime) -> dict[str, Any]:
    contract = spec.contract
    table = contract.table
    stored = warehouse.days_with_rows(table, date.min, date.max)
    limited = table in state.FRESHNESS
    fresh = state.freshness_of(warehouse, table, now) if limited else None
    return {
        "table": table,
        "group": spec.group,
        "grain": contract.grain,
        "rows": sum(stored.values()),
        "first_day": min(stored, default=None),
        "last_day": max(stored, default=None),
        "coverage": _coverage(warehouse, settings, spec, now),
        "newest": None if fresh is None else fresh.newest,
        "fresh": None if fresh is None else fresh.fresh,
        "fresh_within": state.FRESHNESS[table].late_after if limited else None,
        "pit_quality": list(contract.pit_quality.allowed),
        "units": list(dict.fromkeys(contract.by_name[name].unit for name in contract.value_columns)),
        "version": warehouse.version(table),
        "description": contract.description,
    }


def _coverage(warehouse: Warehouse, settings: Settings, spec: TableSpec, now: datetime) -> float | None:
    if spec.contract.table not in state.HISTORY:
        return None
    return state.state_of(warehouse, settings, spec.contract.table, settings.start, now.date() - DAY, now).coverage
