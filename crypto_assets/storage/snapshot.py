"""The warehouse at fixed versions: several reads of a table see one version of it, and open its log once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from deltalake import DeltaTable

from crypto_assets.storage import versions
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES

MARGIN = timedelta(days=2)  # days beside the range that are held too: a day is compared with its neighbours


class SnapshotWarehouse(Warehouse):
    """Reads each table at the version that was the newest at the first read of it.

    Use it for a short time (e.g. one step's checks), because rows written meanwhile are not seen. Do not use it for
    writing.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._opened: dict[str, DeltaTable | None] = {}
        self._of_version: dict[tuple[str, int], DeltaTable | None] = {}
        self._listed: dict[tuple[str, int], pl.DataFrame] = {}
        self._schemas: dict[tuple[str, int], pl.Schema] = {}
        self._counted: dict[str, tuple[list[date], list[int]]] = {}  # the days that have rows, in order, and their rows

    def snapshot(self, table: str, version: int | None = None) -> DeltaTable | None:
        """Open a table, by default at the version that was the newest at the first call.

        Args:
            table: the table's name.
            version: the version; None for the fixed one.

        Returns:
            The table; None if it did not exist then.

        Raises:
            WarehouseError: the table cannot be read.
        """
        if version is not None:
            if (table, version) not in self._of_version:
                self._of_version[table, version] = super().snapshot(table, version)
            return self._of_version[table, version]
        if table not in self._opened:
            opened = self._opened[table] = super().snapshot(table)
            if opened is not None:
                self._of_version[table, opened.version()] = opened
        return self._opened[table]

    def _list(self, snapshot: DeltaTable) -> pl.DataFrame:
        key = snapshot.table_uri, snapshot.version()
        if key not in self._listed:
            self._listed[key] = super()._list(snapshot)
        return self._listed[key]

    def _stored_schema(self, snapshot: DeltaTable) -> pl.Schema:
        key = snapshot.table_uri, snapshot.version()
        if key not in self._schemas:
            self._schemas[key] = super()._stored_schema(snapshot)
        return self._schemas[key]

    def days_with_rows(self, table: str, start: date, end: date) -> dict[date, int]:
        """Count the rows of each day, as :meth:`Warehouse.days_with_rows` does; a table's days are counted once.

        Args:
            table: the table's name.
            start: the first day.
            end: the last day, included.

        Returns:
            Day -> rows, for days that have rows, in order.
        """
        if table not in self._counted:
            counted = super().days_with_rows(table, date.min, date.max)
            days = sorted(counted)
            self._counted[table] = days, [counted[day] for day in days]
        days, rows = self._counted[table]
        within = slice(bisect_left(days, start), bisect_right(days, end))
        return dict(zip(days[within], rows[within], strict=True))


class DaysInMemory(SnapshotWarehouse):
    """The same versions as another snapshot, with the days of a range held in memory, for reading them one by one.

    A read of a day within the range costs a look-up instead of opening files. Other reads go to the files. Each set of
    columns is held apart, so keep it only for as long as days are read.
    """

    def __init__(self, whole: SnapshotWarehouse, start: date, end: date) -> None:
        super().__init__(whole.uri)
        self._opened, self._listed, self._schemas, self._counted = (
            whole._opened,
            whole._listed,
            whole._schemas,
            whole._counted,
        )
        self._first, self._last = start - MARGIN, end + MARGIN
        self._held: dict[tuple[str, tuple[str, ...]], tuple[dict[date, pl.DataFrame], pl.DataFrame]] = {}

    def read(
        self,
        table: Contract | str,
        *,
        start: date | None = None,
        end: date | None = None,
        columns: Sequence[str] | None = None,
        symbols: Sequence[str] | None = None,
        version: int | None = None,
        in_order: bool = True,
    ) -> pl.DataFrame:
        """Read the rows of a range of days, as :meth:`Warehouse.read` does.

        Args:
            table: the contract, or the table's name.
            start: the first day; None for no bound.
            end: the last day, included; None for no bound.
            columns: the columns; None for all of the contract.
            symbols: the coins; None for all.
            version: the version; None for the fixed one.
            in_order: whether to sort rows that are not held; those that are have been sorted.

        Returns:
            The rows, in the types and column order of the contract. Those of a day are sorted by key.

        Raises:
            WarehouseError: the table cannot be read.
        """
        if start is None or end is None or not self._holds(start, end) or symbols is not None or version is not None:
            return super().read(
                table, start=start, end=end, columns=columns, symbols=symbols, version=version, in_order=in_order
            )
        contract = CONTRACTS[table] if isinstance(table, str) else table
        wanted = [name for name in contract.names if columns is None or name in columns]
        by_day, none = self._hold(contract, wanted)
        asked = (start + timedelta(days=n) for n in range((end - start).days + 1))
        found = [by_day[day] for day in asked if day in by_day]
        return found[0] if len(found) == 1 else pl.concat(found) if found else none

    def scan(self, table: Contract | str, **asked: Any) -> pl.LazyFrame:
        """Plan to read rows as :meth:`Warehouse.scan` does; those of days that are held come from memory."""
        start, end, more = asked.get("start"), asked.get("end"), (asked.get("symbols"), asked.get("version"))
        if start is not None and end is not None and self._holds(start, end) and more == (None, None):
            return self.read(table, **asked).lazy()
        return super().scan(table, **asked)

    def _holds(self, start: date, end: date) -> bool:
        return self._first <= start <= end <= self._last and end - start <= MARGIN

    def _hold(self, contract: Contract, wanted: list[str]) -> tuple[dict[date, pl.DataFrame], pl.DataFrame]:
        key = contract.table, tuple(wanted)
        if key not in self._held:
            columns = sorted({*wanted, "date"})
            frame = super().read(contract, start=self._first, end=self._last, columns=columns)
            parts = frame.partition_by("date", as_dict=True)
            self._held[key] = {k[0]: rows.select(wanted) for k, rows in parts.items()}, frame.clear().select(wanted)
        return self._held[key]


class WarehouseAsOf(SnapshotWarehouse):
    """Reads each table at the newest version that was committed at or before an instant.

    A table that did not exist then is not there. Do not use it for writing.
    """

    def __init__(self, uri: str, as_of: datetime) -> None:
        super().__init__(uri)
        self.as_of = self._instant = as_of

    def snapshot(self, table: str, version: int | None = None) -> DeltaTable | None:
        """Open a table, by default as it was at the instant.

        Args:
            table: the table's name.
            version: the version; None for the one of the instant.

        Returns:
            The table; None if it did not exist then.

        Raises:
            WarehouseError: the table cannot be read, or its log no longer reaches back to the instant.
        """
        if version is None and table not in self._opened:
            then = versions.version_at(Warehouse(self.uri), table, self._instant)
            self._opened[table] = None if then is None else super().snapshot(table, then)
        return super().snapshot(table, version)

    def exists(self, table: str) -> bool:
        """Whether the table existed at the instant."""
        return self.snapshot(table) is not None


def warehouse_at(uri: str, as_of: int | datetime | None) -> Warehouse:
    """Open the warehouse now, or as it was.

    Args:
        uri: a folder or an ``s3://`` address.
        as_of: an instant, or a version of ml_features, which stands for the instant of its commit; None: now.

    Returns:
        The warehouse.

    Raises:
        WarehouseError: ml_features has no such version.
    """
    if as_of is None:
        return Warehouse(uri)
    if isinstance(as_of, int):
        as_of = versions.committed_at(Warehouse(uri), ML_FEATURES.table, as_of)
    return WarehouseAsOf(uri, as_of)
