"""Reason: a command. It asks for a range of days, or for what is missing of it; its runs may make other days stale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from dagster import DagsterInstance

from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.automation.staleness import stale_days
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.storage.warehouse import Warehouse


def asked(wanted: Mapping[str, Iterable[date]], reason: str) -> list[WantedDay]:
    """Return the days that a person asked for.

    Args:
        wanted: Table -> days.
        reason: The command and its range.

    Returns:
        The wanted days.
    """
    return [WantedDay(table, day, reason) for table, found in wanted.items() for day in found]


def coins_that_failed(table: str, coins: Iterable[str], found: Iterable[date]) -> list[WantedDay]:
    """Return days of a table for the coins whose rows they lack."""
    named = tuple(sorted(coins))
    return [WantedDay(table, day, f"failed coins: {table} lacks {', '.join(named)}", named) for day in found]


def stale(instance: DagsterInstance, warehouse: Warehouse, specs: Specs, first: date, last: date) -> list[WantedDay]:
    """Return the stale days of the first derived table that has any. Later tables follow when these days are done.

    Args:
        instance: Has the materialisations.
        warehouse: The tables.
        specs: The derived tables.
        first: First day, UTC, included.
        last: Last day, included.

    Returns:
        The wanted days; empty where no day is stale.

    Raises:
        WarehouseError: A table cannot be read.
    """
    # Most inputs are those of several tables: each log is opened once. What is written meanwhile is seen at the next look.
    fixed = SnapshotWarehouse(warehouse.uri)
    for table in specs.look_back:
        if found := stale_days(instance, fixed, table, first, last):
            reason = f"stale: an input of {table} was written after it was derived"
            return [WantedDay(table, day, reason) for day in found]
    return []
