"""The days that ``status`` asks for, held in memory where they are few rows.

A dozen measures ask each table for a few columns of nearly the same days. While tables are small, the opening of files is
most of the work: so each day is read once, with all columns. Where the days are many rows, each measure reads what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from crypto_assets.storage.snapshot import MARGIN, SnapshotWarehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import CONTRACTS

CELLS_HELD = 2_000_000  # of a table, 16 MB
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class _Held:
    """All rows of consecutive days of a table, sorted by key."""

    first: date
    last: date
    rows: pl.DataFrame


class RangeInMemory(SnapshotWarehouse):
    """Reads each table at the version of the first read, and each of its days once, where its days are few cells.

    Use it for a short time, and do not use it for writing, as its parent.
    """

    def __init__(self, uri: str, start: date, end: date) -> None:
        super().__init__(uri)
        self._range = start - MARGIN, end + MARGIN  # a day is compared with its neighbours
        self._held: dict[str, _Held] = {}

    def read(self, table: Contract | str, *, in_order: bool = True, **asked: Any) -> pl.DataFrame:
        """Read rows as :meth:`Warehouse.read` does."""
        contract = CONTRACTS[table] if isinstance(table, str) else table
        held = self._from_memory(contract, **asked)
        if held is None:
            return self.collect(contract, super().scan(contract, **asked), by=None if in_order else ())
        rows = held.collect()
        by = [name for name in contract.key if name in rows.columns]
        sorted_already = bool(by) and by == list(contract.key[: len(by)])  # as the held rows are
        return rows if sorted_already or not in_order else self.collect(contract, rows.lazy())

    def scan(self, table: Contract | str, **asked: Any) -> pl.LazyFrame:
        """Plan to read rows as :meth:`Warehouse.scan` does."""
        contract = CONTRACTS[table] if isinstance(table, str) else table
        held = self._from_memory(contract, **asked)
        return super().scan(contract, **asked) if held is None else held

    def summarise(
        self, table: Contract | str, how: Callable[[pl.LazyFrame], pl.LazyFrame], **asked: Any
    ) -> pl.DataFrame:
        """Compute a result as :meth:`Warehouse.summarise` does."""
        held = self._from_memory(CONTRACTS[table] if isinstance(table, str) else table, **asked)
        return super().summarise(table, how, **asked) if held is None else how(held).collect()

    def _from_memory(
        self,
        contract: Contract,
        *,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
        symbols: Sequence[str] | None = None,
        version: int | None = None,
    ) -> pl.LazyFrame | None:
        """Plan to take the rows from memory; None where they are too many, or without bounds, or of another version."""
        held = None if start is None or end is None or version is not None else self._hold(contract, start, end)
        if held is None:
            return None
        rows = held.lazy().filter(pl.col("date").is_between(start, end))
        if symbols is not None:
            rows = rows.filter(pl.col("symbol").is_in(list(symbols)))
        return rows.select(name for name in contract.names if columns is None or name in columns)

    def _hold(self, contract: Contract, start: date, end: date) -> pl.DataFrame | None:
        """Return rows that include these days; None where that would be too many cells."""
        known = self._held.get(contract.table)
        whole = (known.first, known.last) if known else self._range
        first, last = min(start, whole[0]), max(end, whole[1])
        if known and (first, last) == whole:
            return known.rows
        if sum(self.days_with_rows(contract.table, first, last).values()) * len(contract.names) > CELLS_HELD:
            return None
        if known is None:
            parts = [self._rows(contract, first, last)]
        else:
            before, after = (first, known.first - ONE_DAY), (known.last + ONE_DAY, last)
            parts = [known.rows, *(self._rows(contract, *span) for span in (before, after) if span[0] <= span[1])]
        rows = parts[0] if len(parts) == 1 else self.collect(contract, pl.concat(parts).lazy())
        self._held[contract.table] = _Held(first, last, rows)
        return rows

    def _rows(self, contract: Contract, first: date, last: date) -> pl.DataFrame:
        return self.collect(contract, super().scan(contract, start=first, end=last))
