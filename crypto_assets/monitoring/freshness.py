"""Which tables are fresh at an instant, by the one definition in ``checks/state.py``."""

from __future__ import annotations

from datetime import datetime

from crypto_assets.checks.state import FRESHNESS, TableFreshness, freshness_of
from crypto_assets.errors import WarehouseError
from crypto_assets.storage.warehouse import Warehouse


def observe(warehouse: Warehouse, now: datetime) -> list[TableFreshness]:
    """Observe every table that has a freshness limit. In a folder, a broken table does not hide the others.

    Args:
        warehouse: the tables.
        now: the instant, UTC.

    Returns:
        One observation per table.

    Raises:
        WarehouseError: a table cannot be read, and no other table has a row.
    """
    found = []
    trouble: WarehouseError | None = None
    for table, limit in FRESHNESS.items():
        try:
            found.append(freshness_of(warehouse, table, now))
        except WarehouseError as error:  # the checks of the table name it
            if not warehouse.is_local:  # the store may be away, and every table would wait for its timeout
                raise
            trouble = trouble or error
            found.append(TableFreshness(table, now, None, limit.late_after, readable=False))
    if trouble is not None and all(seen.newest is None for seen in found):
        raise trouble
    return found
