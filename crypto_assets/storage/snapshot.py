"""The warehouse as it stood: whoever looks at a table several times sees one version of it, and opens its log once."""

from __future__ import annotations

import polars as pl
from deltalake import DeltaTable

from crypto_assets.storage.warehouse import Warehouse


class SnapshotWarehouse(Warehouse):
    """Reads each table at the version that was the newest when it was first asked for.

    For one look (a step's checks) and no longer: rows that are written meanwhile are not seen. Not for writing.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._opened: dict[str, DeltaTable | None] = {}
        self._listed: dict[tuple[str, int], pl.DataFrame] = {}

    def snapshot(self, table: str, version: int | None = None) -> DeltaTable | None:
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
