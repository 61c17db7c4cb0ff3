"""The warehouse at fixed versions: several reads of a table see one version of it, and open its log once."""

from __future__ import annotations

import polars as pl
from deltalake import DeltaTable

from crypto_assets.storage.warehouse import Warehouse


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
