"""Ticks of derivatives: a coin's funding is asked for when its interval is over, and an hour's rows once they are known."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import polars as pl

from crypto_assets.assets import day_in_progress, derivatives
from crypto_assets.catalog import select, symbols
from crypto_assets.tables.schemas import FUNDING_RATES

NOW = datetime(2024, 5, 2, 17, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def stored(*rows: tuple[str, int, float | None]) -> pl.DataFrame:
    """(symbol, hours before 17:00, interval) of the settlements that are stored."""
    opened = NOW.replace(minute=0)
    listed = [{"symbol": s, "ts": opened - age * HOUR, "interval_hours": interval} for s, age, interval in rows]
    schema = {name: FUNDING_RATES.polars_schema[name] for name in ("symbol", "ts", "interval_hours")}
    return pl.DataFrame(listed, schema=schema)


def test_a_coin_is_asked_for_when_its_interval_is_over() -> None:
    coins = select("BTC,ETH,SOL,XRP,DOGE")
    rows = stored(("BTC", 1, 8.0), ("ETH", 1, 1.0), ("SOL", 9, 8.0), ("SOL", 1, 8.0), ("XRP", 8, None))
    assert symbols(derivatives._settled_since(coins, rows, NOW)) == ["ETH", "XRP", "DOGE"]
    assert symbols(derivatives._settled_since(coins, stored(), NOW)) == ["BTC", "ETH", "SOL", "XRP", "DOGE"]


def test_an_hour_is_due_once_its_row_is_known() -> None:
    coins = select("BTC")
    have = {"BTC": {NOW.replace(hour=hour, minute=0) for hour in range(17)}}
    for minute, due in ((2, []), (9, []), (11, ["BTC"])):
        clock = NOW.replace(minute=minute) - timedelta(minutes=10) + HOUR
        assert symbols(day_in_progress.coins_lacking_bars(coins, have, NOW.date(), clock)) == due, minute
