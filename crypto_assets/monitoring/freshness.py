"""Which tables are fresh at an instant: the one definition (``checks/state.py``) asked about every table (rule 10)."""

from __future__ import annotations

from datetime import datetime

from crypto_assets.checks.state import FRESHNESS, Freshness, freshness_of
from crypto_assets.errors import WarehouseError
from crypto_assets.storage.warehouse import Warehouse


def observe(warehouse: Warehouse, now: datetime) -> list[Freshness]:
    """Every table that has a freshness limit, at ``now`` (UTC). In a folder a broken table hides none of the others.

    Raises :class:`WarehouseError` where one cannot be read and no other has a row.
    """
    found = []
    trouble: WarehouseError | None = None
    for table, limit in FRESHNESS.items():
        try:
            found.append(freshness_of(warehouse, table, now))
        except WarehouseError as error:  # the table's own checks name it
            if not warehouse.is_local:  # the store may be away, and each table would wait for it anew
                raise
            trouble = trouble or error
            found.append(Freshness(table, now, None, limit.late_after, readable=False))
    if trouble is not None and all(seen.newest is None for seen in found):
        raise trouble
    return found
