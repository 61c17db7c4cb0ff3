"""Pins: which versions of which tables a dataset depends on, in a small Delta table beside them (``_pins``).

Maintenance (``automation/tidy.py``) removes no file that a pinned version needs. So a training set can be made again
for as long as its pin exists, in a folder as well as in an object store.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import polars as pl
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from crypto_assets.errors import WarehouseError
from crypto_assets.storage.warehouse import Warehouse

TABLE = "_pins"
SCHEMA: dict[str, Any] = {
    "dataset": pl.String,
    "table": pl.String,
    "version": pl.Int64,
    "pinned_at": pl.Datetime("us", "UTC"),
}


def pin(warehouse: Warehouse, dataset: str, versions: Mapping[str, int | None]) -> None:
    """Record that a dataset depends on these versions; the same record twice counts once.

    Args:
        warehouse: where the tables are.
        dataset: the dataset's path or name.
        versions: table -> version; None for a table that does not exist yet.

    Raises:
        WarehouseError: the pins cannot be written.
    """
    now = datetime.now(timezone.utc)
    rows = [(dataset, table, version, now) for table, version in sorted(versions.items()) if version is not None]
    fresh = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    known = _read(warehouse)
    fresh = fresh.join(known, on=["dataset", "table", "version"], how="anti")
    if fresh.is_empty():
        return
    try:
        write_deltalake(
            warehouse.path(TABLE), fresh.to_arrow(), mode="append", storage_options=warehouse.storage_options
        )
    except (DeltaError, OSError) as error:
        raise _trouble(warehouse, error) from error


def unpin(warehouse: Warehouse, dataset: str) -> int:
    """Remove the pins of a dataset.

    Args:
        warehouse: where the tables are.
        dataset: the dataset's path or name.

    Returns:
        The number of pins that were removed.

    Raises:
        WarehouseError: the pins cannot be read or written.
    """
    found = _read(warehouse).filter(pl.col("dataset") == dataset).height
    if found:
        try:
            quoted = dataset.replace("'", "''")
            DeltaTable(warehouse.path(TABLE), storage_options=warehouse.storage_options).delete(f"dataset = '{quoted}'")
        except (DeltaError, OSError) as error:
            raise _trouble(warehouse, error) from error
    return found


def pinned(warehouse: Warehouse) -> dict[str, set[int]]:
    """Read all pins.

    Args:
        warehouse: where the tables are.

    Returns:
        Table -> versions that some dataset depends on.

    Raises:
        WarehouseError: the pins cannot be read.
    """
    found: dict[str, set[int]] = {}
    for table, version in _read(warehouse).select("table", "version").rows():
        found.setdefault(table, set()).add(version)
    return found


def datasets(warehouse: Warehouse) -> list[str]:
    """Name the datasets whose versions are kept.

    Args:
        warehouse: where the tables are.

    Returns:
        The paths or names, sorted.

    Raises:
        WarehouseError: the pins cannot be read.
    """
    return sorted(_read(warehouse)["dataset"].unique())


def _read(warehouse: Warehouse) -> pl.DataFrame:
    try:
        snapshot = DeltaTable(warehouse.path(TABLE), storage_options=warehouse.storage_options)
        return pl.DataFrame(snapshot.to_pyarrow_table()).select(list(SCHEMA))
    except TableNotFoundError:
        return pl.DataFrame(schema=SCHEMA)
    except (DeltaError, OSError) as error:
        raise _trouble(warehouse, error) from error


def _trouble(warehouse: Warehouse, error: Exception) -> WarehouseError:
    return WarehouseError(
        f"the pins of datasets in {warehouse.uri} cannot be read or written ({' '.join(str(error).split())[:160]}); "
        "check CRYPTO_ASSETS_WAREHOUSE and its rights"
    )
