"""Coins whose rows show an end or a jump that no row of the catalogue explains, read from ``universe``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timezone

import polars as pl

from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.watch.watcher import Watcher
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.universe import SUSPECTED


def suspected_changes(warehouse: Warehouse, open_now: Iterable[str]) -> list[Sighting]:
    """Observe the coins with suspected days, of any age: a history that was backfilled counts too.

    Args:
        warehouse: Has ``universe``.
        open_now: Coins with an open incident; one without suspected days any more is well.

    Returns:
        The sightings, by coin.

    Raises:
        WarehouseError: The table cannot be read.
    """
    days = warehouse.days_with_rows("universe", date.min, date.max)
    if not days:
        return []
    rows = warehouse.read(
        "universe", start=min(days), end=max(days), columns=["symbol", "date", "state", "evidence"]
    ).filter(pl.col("state") == SUSPECTED)
    by_coin = rows.sort("date").group_by("symbol").agg(pl.col("date").first(), pl.col("evidence").last()).sort("symbol")
    found = [
        Sighting(symbol, f"{symbol}: {why}", datetime.combine(since, time(), timezone.utc))
        for symbol, since, why in by_coin.rows()
    ]
    explained = sorted(set(open_now) - set(by_coin["symbol"]))
    over = "no day is suspected any more: a row of the catalogue explains it, or later rows do"
    return [*found, *(Sighting(symbol, None, why_over=over) for symbol in explained)]


WATCHER = Watcher.of_state(
    "suspected_change",
    3600,
    "Coins that fell silent or jumped by a factor, until a row of the catalogue explains it.",
    lambda context: suspected_changes(context.warehouse, context.open_now),
)
