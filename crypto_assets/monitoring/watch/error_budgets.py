"""Tables that spend the error budget of their service level too fast, read from the freshness observations."""

from __future__ import annotations

from datetime import datetime

from crypto_assets.checks.state import FRESHNESS
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.slo import observed
from crypto_assets.monitoring.watch.watcher import Watcher
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.transforms import service_level


def error_budgets(warehouse: Warehouse, now: datetime) -> list[Sighting]:
    """Observe how fast each table spends its error budget, over one hour and over six hours.

    One more sighting, ``observations``, says whether freshness is observed at all. The trouble of a table is over after an
    hour without a bad slot.

    Args:
        warehouse: The tables.
        now: The instant, UTC.

    Returns:
        The sightings, by table; none without any observation.

    Raises:
        WarehouseError: The observations cannot be read.
    """
    known = observed(warehouse, now, service_level.LONG + service_level.SLOT)
    if known.is_empty():
        return []
    missed = service_level.unobserved(known, now)
    text = f"freshness was not observed in {missed} of the last {service_level.SHORT // service_level.SLOT} slots: the service level is unknown"
    sightings = [Sighting("observations", text if missed >= 2 else None, now)]
    # A table that is not kept up to date does not count in the service level.
    sightings += [Sighting(table, None) for table in FRESHNESS if table not in set(known["asset"])]
    for row in service_level.burn(known, now).iter_rows(named=True):
        if row["short"] >= service_level.BURN_SHORT and row["long"] >= service_level.BURN_LONG:
            what = f"{row['asset']} spends its error budget {row['long']:.0f} times too fast over 6 h ({row['short']:.0f} times over 1 h)"
            sightings.append(Sighting(row["asset"], what, now - service_level.SHORT))
        elif row["short"] == 0 and not missed:
            sightings.append(Sighting(row["asset"], None))
    return sightings


WATCHER = Watcher.of_state(
    "slo_burn",
    300,
    "Tables that spend their error budget too fast, and observations that do not come.",
    lambda context: error_budgets(context.warehouse, context.now),
)
