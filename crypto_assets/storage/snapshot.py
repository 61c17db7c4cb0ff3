"""The warehouse at fixed versions: several reads of a table see one version of it, and open its log once."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from deltalake import DeltaTable

from crypto_assets.storage import versions
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES


class SnapshotWarehouse(Warehouse):
    """Reads each table at the version that was the newest at the first read of it.

    Use it for a short time (e.g. one step's checks), because rows written meanwhile are not seen. Do not use it for
    writing.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._opened: dict[str, DeltaTable | None] = {}
        self._listed: dict[tuple[str, int], pl.DataFrame] = {}

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
            return super().snapshot(table, version)
        if table not in self._opened:
            self._opened[table] = super().snapshot(table)
        return self._opened[table]

    def _list(self, snapshot: DeltaTable) -> pl.DataFrame:
        key = snapshot.table_uri, snapshot.version()
        if key not in self._listed:
            self._listed[key] = super()._list(snapshot)
        return self._listed[key]


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
