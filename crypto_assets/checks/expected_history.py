"""Rows due and rows present over a long history, counted year by year to bound the memory.

The rule is that of the check ``rows_expected``; over the same range the numbers are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from crypto_assets.checks import enhanced_rows, measures, state
from crypto_assets.checks.outcome import Scope
from crypto_assets.dates import chunks
from crypto_assets.tables.registry import CONTRACTS

YEAR = 366  # days in memory at once


def rows(scope: Scope, table: str, stored: Mapping[date, int]) -> tuple[int, int] | None:
    """Count the rows due and the rows present.

    Args:
        scope: Its days must be over.
        table: The table.
        stored: Day -> rows (:meth:`Warehouse.days_with_rows`).

    Returns:
        (rows due, rows present); None for a table in which no rows are due.

    Raises:
        WarehouseError: The table cannot be read.
    """
    if table in state.RECORDS:
        return None
    if table in state.SNAPSHOTS:
        first = state.first_day(scope.warehouse, table, scope.now)
        due = state.days_due(table, first, scope.start, scope.end, scope.now, scope.settings)
        return len(due), sum(day in stored for day in due)
    years = [replace(scope, start=first, end=last) for first, last in chunks(scope.start, scope.end, YEAR)]
    if table in enhanced_rows.ENHANCED:
        counted = [enhanced_rows.enhanced_ratio(year, table) for year in years]
        return sum(base for _, base in counted), sum(enhanced for enhanced, _ in counted)
    if table in state.BY_COIN:
        return _by_coin(scope, table)
    counted = [measures.expectation(CONTRACTS[table], year, measures.Present.of(year, table))[:2] for year in years]
    return sum(due for due, _ in counted), sum(present for _, present in counted)


def _by_coin(scope: Scope, table: str) -> tuple[int, int]:
    """Count by coin; a coin is due from its first row on."""
    rule = state.BY_COIN[table]
    seen = measures.first_seen(measures.Present.of(scope, table), measures.coins_of(scope, rule.identifier))
    due = measures.with_rows_due(seen, scope.end, rule.rows_per_day)
    return int(due["due"].sum()), int(due["rows"].sum())


TABLES = tuple(state.FRESHNESS)
