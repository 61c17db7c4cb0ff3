"""Is a table fresh at an instant? Read from its rows, never from what ran (rule 10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from crypto_assets.automation import FRESHNESS
from crypto_assets.errors import WarehouseError
from crypto_assets.partitions import DAY
from crypto_assets.storage.warehouse import Warehouse

LOOKED_AT = DAY * 40  # a newest row older than this is as good as none: every policy is far shorter


@dataclass(frozen=True)
class Observation:
    """What was seen of one table. ``newest`` is None where no row of the last 40 days is there, or none could be read."""

    table: str
    at: datetime
    newest: datetime | None
    late_after: timedelta
    readable: bool = True

    @property
    def fresh(self) -> bool:
        return self.newest is not None and self.at - self.newest <= self.late_after

    @property
    def age(self) -> timedelta | None:
        return None if self.newest is None else self.at - self.newest


def observe(warehouse: Warehouse, now: datetime) -> list[Observation]:
    """Every table that has a freshness limit, at ``now`` (UTC). In a folder a broken table hides none of the others.

    Raises :class:`WarehouseError` where one cannot be read and no other has a row.
    """
    found = []
    trouble: WarehouseError | None = None
    for table, limit in FRESHNESS.items():
        try:
            found.append(Observation(table, now, newest_known(warehouse, table, now), limit.late_after))
        except WarehouseError as error:  # told by the table's own checks
            if not warehouse.is_local:  # the store may be away, and each table would wait for it anew
                raise
            trouble = trouble or error
            found.append(Observation(table, now, None, limit.late_after, readable=False))
    if trouble is not None and all(seen.newest is None for seen in found):
        raise trouble
    return found


def newest_known(warehouse: Warehouse, table: str, now: datetime) -> datetime | None:
    """The newest ``available_at`` up to ``now``: a row that claims to come from the future makes nothing fresh."""
    today = now.date()
    written = sorted(warehouse.days_with_rows(table, today - LOOKED_AT, today + DAY), reverse=True)
    for day in written:  # the newest days may hold only what becomes available later; the first is nearly always enough
        known = warehouse.read(table, start=day, end=day, columns=["available_at"]).filter(
            pl.col("available_at") <= now
        )
        found = known["available_at"].max()
        if isinstance(found, datetime):
            return found
    return None
