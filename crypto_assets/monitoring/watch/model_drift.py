"""Models that no longer see or achieve what they did at their training, read from ``predictions``."""

from __future__ import annotations

from datetime import datetime

from crypto_assets.checks.model_drift import drift_of
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.watch.watcher import Watcher
from crypto_assets.storage.warehouse import Warehouse


def drifting_models(warehouse: Warehouse, now: datetime, *, demo: bool = False) -> list[Sighting]:
    """Observe each model that predicted in the last 30 days.

    Args:
        warehouse: the tables.
        now: the instant, UTC.
        demo: whether the tables are a demo's, whose inputs are not judged.

    Returns:
        The sightings, by model.

    Raises:
        WarehouseError: a table cannot be read.
    """
    return [Sighting(one.model, one.trouble, now) for one in drift_of(warehouse, now.date(), now, demo=demo)]


WATCHER = Watcher.of_state(
    "model_drift",
    6 * 3600,
    "Models whose rank IC, inputs or universe are no longer those of their training, until they are again.",
    lambda context: drifting_models(context.warehouse, context.now, demo=context.settings.demo is not None),
)
