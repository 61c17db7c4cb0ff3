"""Tables whose newest row is older than their limit, read from the rows."""

from __future__ import annotations

from datetime import datetime

from crypto_assets.checks import state
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.freshness import observe
from crypto_assets.monitoring.watch.watcher import Watcher
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import look_back


def late_tables(warehouse: Warehouse, now: datetime) -> list[Sighting]:
    """Observe the freshness of every table.

    A table that was never filled, or not for 40 days, is not kept up to date. It is not late, and has no sighting.

    Args:
        warehouse: The tables.
        now: The instant, UTC.

    Returns:
        The sightings, by table.

    Raises:
        WarehouseError: No table can be read.
    """
    sightings = []
    for seen in observe(warehouse, now):
        if seen.fresh or seen.status == state.RECORDED:
            sightings.append(Sighting(seen.table, None))
        elif seen.newest is not None and seen.status == state.LATE:
            since = seen.newest + seen.late_after
            text = f"the newest row of {seen.table} was known at {seen.newest:%Y-%m-%d %H:%M} UTC, the limit is {seen.late_after}"
            sightings.append(Sighting(seen.table, text, since, consequence_of(seen.table)))
    return sightings


def consequence_of(table: str) -> str | None:
    """Name the tables that are derived from this one; None where there are none."""
    dependent, found = [], {table}
    for derived, inputs in look_back().items():
        if found & set(inputs):
            found.add(derived)
            dependent.append(derived)
    return f"readers get old values, {' and '.join(dependent)} included" if dependent else None


WATCHER = Watcher.of_state(
    "staleness",
    300,
    "Tables whose newest row is older than their limit, read from the rows.",
    lambda context: late_tables(context.warehouse, context.now),
)
