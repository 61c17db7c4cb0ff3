"""Days of a range that fit the memory, for measures that look at every row.

Five years of 300 coins are 13 million rows of an hourly table, and 38 gigabytes of features: a measure takes a few days at
a time, and adds up what it counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from crypto_assets.checks.outcome import Scope
from crypto_assets.dates import DAY, days

CELLS_AT_ONCE = 8_000_000  # 64 MB of numbers: of features three days of 300 coins, of two venues' bars 46


def parts(scope: Scope, table: str, columns: int) -> Iterator[tuple[date, date]]:
    """Cut the range into spans of days of at most :data:`CELLS_AT_ONCE` cells each, or of one day.

    Args:
        scope: the tables and the range.
        table: the table whose rows are counted, from the commit log.
        columns: the number of its columns that are read.

    Yields:
        First and last day of each span, both included; together they are the range.

    Raises:
        WarehouseError: the table cannot be read.
    """
    counted = scope.warehouse.days_with_rows(table, scope.start, scope.end)
    first, cells = scope.start, 0
    for day in days(scope.start, scope.end):
        cells += counted.get(day, 0) * columns
        if cells > CELLS_AT_ONCE and day > first:
            yield first, day - DAY
            first, cells = day, counted.get(day, 0) * columns
    yield first, scope.end
