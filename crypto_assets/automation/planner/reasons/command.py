"""What a command asks for: a range of days, or what is missing of it; and what its own runs made stale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from dagster import DagsterInstance

from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.automation.staleness import stale_days
from crypto_assets.storage.warehouse import Warehouse


def asked(wanted: Mapping[str, Iterable[date]], reason: str) -> list[WantedDay]:
    """These days of these tables, because a person asked for them."""
    return [WantedDay(table, day, reason) for table, found in wanted.items() for day in found]


def coins_that_failed(table: str, coins: Iterable[str], found: Iterable[date]) -> list[WantedDay]:
    """Days of a table that lack the rows of these coins."""
    named = tuple(sorted(coins))
    return [WantedDay(table, day, f"failed coins: {table} lacks {', '.join(named)}", named) for day in found]


def stale(instance: DagsterInstance, warehouse: Warehouse, specs: Specs, first: date, last: date) -> list[WantedDay]:
    """Stale days of the first derived table that has any; what follows from it is found when they are done."""
    for table in specs.look_back:
        if found := stale_days(instance, warehouse, table, first, last):
            reason = f"stale: an input of {table} was written after it was derived"
            return [WantedDay(table, day, reason) for day in found]
    return []
