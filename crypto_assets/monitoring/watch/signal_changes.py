"""Coins whose signal changed its sign or strength with the newest hour. Off unless ``SIGNAL_CHANGES`` is ``yes``."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.watch.watcher import Watcher
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.models import SIGNALS

HOUR = timedelta(hours=1)
COLUMNS = ["symbol", "ts", "available_at", "weight", "strength", "model", "reasons"]


def signal_changes(warehouse: Warehouse, now: datetime) -> list[Sighting]:
    """Compare the newest hour of signals that is known with the hour before it.

    Args:
        warehouse: Has ``signals``.
        now: The instant, UTC.

    Returns:
        One sighting for each coin with a signal in both hours: its change, or None where sign and strength are the same.

    Raises:
        WarehouseError: The table cannot be read.
    """
    day = max(warehouse.days_with_rows(SIGNALS.table, date.min, now.date()), default=None)
    if day is None:
        return []
    rows = warehouse.read(SIGNALS, start=day - timedelta(days=1), end=day, columns=COLUMNS)
    rows = rows.filter(pl.col("available_at") <= now).with_columns(side=pl.col("weight").sign())
    newest = rows["ts"].max()
    if not isinstance(newest, datetime):
        return []
    before = rows.filter(pl.col("ts") == newest - HOUR).select("symbol", "side", "strength")
    both = rows.filter(pl.col("ts") == newest).join(before, on="symbol", suffix="_before").sort("symbol")
    return [_sighting(row) for row in both.rows(named=True)]


def _sighting(row: dict[str, object]) -> Sighting:
    symbol, then = str(row["symbol"]), row["available_at"]
    assert isinstance(then, datetime)
    now_says, before_said = (_said(row, end) for end in ("", "_before"))
    if now_says == before_said:
        return Sighting(symbol, None, why_over=f"it has been {now_says} for an hour")
    reasons = row["reasons"]
    moved = ", ".join(map(str, reasons)) if isinstance(reasons, list) else ""
    text = (
        f"the signal of {symbol} went from {before_said} to {now_says} ({row['weight']:+.4f}) by model {row['model']}; moved "
        f"most by {moved}"
    )
    return Sighting(symbol, text, then, facts={"weight": row["weight"], "strength": row["strength"]})


def _said(row: dict[str, object], end: str) -> str:
    side = {1.0: "long", -1.0: "short"}.get(float(row[f"side{end}"]), "flat")  # type: ignore[arg-type]
    return side if side == "flat" else f"{row[f'strength{end}']} {side}"


WATCHER = Watcher.of_state(
    "signal_change",
    300,
    "Signals whose sign or strength changed with the newest hour. Off unless SIGNAL_CHANGES is yes.",
    lambda context: signal_changes(context.warehouse, context.now) if context.settings.signal_changes else [],
)
