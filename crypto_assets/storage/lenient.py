"""The tables as reports read them.

A table that cannot be read is named and counts as missing, and the others still show.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from crypto_assets.errors import WarehouseError
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.tables.contract import Contract


class LenientWarehouse(SnapshotWarehouse):
    """Reads a broken table as an empty one. Do not use it for writing or for inputs of derived tables.

    All figures of a report are of one version of each table. ``not_readable`` maps each broken table that was asked for to
    the reason. From then on the table is empty, even where
    a part of it could be read. An object store may be away as a whole, and every table would wait for its timeout.
    There the first error is raised, as everywhere else.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.not_readable: dict[str, str] = {}

    def snapshot(self, table: str, version: int | None = None) -> DeltaTable | None:
        """Open a table as :meth:`Warehouse.snapshot` does; None where it cannot be read."""
        if table in self.not_readable:
            return None
        try:
            return super().snapshot(table, version)
        except WarehouseError as error:
            self._pass_over(table, error)
            return None

    def files(self, table: str, version: int | None = None) -> pl.DataFrame:
        """List the data files of a table as :meth:`Warehouse.files` does; none where it cannot be read."""
        try:
            return super().files(table, version)
        except (pl.exceptions.PolarsError, DeltaError) as error:  # somebody else's table stands in its place
            self._pass_over(table, self.unreadable(table, error))
            return super().files(table, version)

    def read(self, table: Contract | str, **range_: Any) -> pl.DataFrame:
        """Read rows as :meth:`Warehouse.read` does; none where the table cannot be read."""
        try:
            return super().read(table, **range_)
        except WarehouseError as error:
            self._pass_over(table if isinstance(table, str) else table.table, error)
            return super().read(table, **range_)  # its snapshot is None from now on

    def summarise(
        self, table: Contract | str, how: Callable[[pl.LazyFrame], pl.LazyFrame], **range_: Any
    ) -> pl.DataFrame:
        """Compute a result as :meth:`Warehouse.summarise` does; that of no rows where the table cannot be read."""
        try:
            return super().summarise(table, how, **range_)
        except WarehouseError as error:
            self._pass_over(table if isinstance(table, str) else table.table, error)
            return super().summarise(table, how, **range_)

    def _pass_over(self, table: str, error: WarehouseError) -> None:
        if not self.is_local or not Path(self.uri).is_dir():  # the whole warehouse is away, not only this table
            raise error
        self.not_readable[table] = str(error)
        self._counted.pop(table, None)
