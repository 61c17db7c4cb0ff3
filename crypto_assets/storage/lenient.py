"""The tables for reports: what cannot be read is missing and named, and hides none of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from crypto_assets.errors import WarehouseError
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract


class LenientWarehouse(Warehouse):
    """Reads a table that is broken as an empty one. Not for writing, nor for what others are derived from.

    ``not_readable``: table -> why, of those that were asked for; empty from then on, also where a part could be read. An
    object store may be away as a whole, and each table would wait for it anew: there the first one raises, as everywhere.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.not_readable: dict[str, str] = {}

    def snapshot(self, table: str, version: int | None = None) -> DeltaTable | None:
        if table in self.not_readable:
            return None
        try:
            return super().snapshot(table, version)
        except WarehouseError as error:
            self._pass_over(table, error)
            return None

    def files(self, table: str, version: int | None = None) -> pl.DataFrame:
        try:
            return super().files(table, version)
        except (pl.exceptions.PolarsError, DeltaError) as error:  # another's table in its place
            self._pass_over(table, self.unreadable(table, error))
            return super().files(table, version)

    def _read(self, contract: Contract, snapshot: DeltaTable | None, *args: Any, **kwargs: Any) -> pl.DataFrame:
        try:
            return super()._read(contract, snapshot, *args, **kwargs)
        except WarehouseError as error:
            self._pass_over(contract.table, error)
            return super()._read(contract, None, *args, **kwargs)

    def _pass_over(self, table: str, error: WarehouseError) -> None:
        if not self.is_local or not Path(self.uri).is_dir():  # the trouble is not this table's
            raise error
        self.not_readable[table] = str(error)
