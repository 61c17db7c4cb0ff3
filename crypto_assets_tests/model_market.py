"""A market in which one feature orders what follows, and models that are trained on it month by month."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from crypto_assets.dates import days, midnight
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES, PRICES
from crypto_assets_tests.platform import Platform

COINS = ("BTC", "ETH", "XRP", "ADA", "SOL", "DOT", "LTC", "LINK")
BEGIN, END = date(2021, 1, 1), date(2021, 4, 5)
MONTHS = [date(2021, 1, 1), date(2021, 2, 1), date(2021, 3, 1), date(2021, 4, 1)]
TABLES = ("trained_models", "predictions", "signals")
CONFIG = """
[[model]]
name = "ridge"
kind = "ridge"
features = ["return_24h", "rsi_14", "volatility_7d", "sma_20", "fear_greed_index"]

[[model]]
name = "trees"
kind = "lightgbm"
features = ["return_24h", "rsi_14", "volatility_7d", "fear_greed_index"]
market_days = 60
parameters = { trees = 10, leaves = 7, least_rows_a_leaf = 20, threads = 1 }
"""
RIDGE = CONFIG.rsplit("[[model]]", 1)[0]


def market(warehouse: Warehouse, last: date = END, seed: int = 5) -> None:
    """Write prices whose next day follows rsi_14, and these features, for all coins and hours.

    The mood, which all coins share, is another one in the last week.
    """
    rng = np.random.default_rng(seed)
    hours = ((END - BEGIN).days + 1) * 24
    rsi = rng.uniform(10, 90, (hours, len(COINS)))
    steps = 0.004 * rng.normal(size=(hours, len(COINS)))
    steps[1:] += 0.01 * (rsi[:-1] - 50) / 40
    mood = 30 + 10 * np.sin(np.arange(hours) / 50) + 40 * (np.arange(hours) >= hours - 7 * 24)
    level = 100 * np.exp(np.cumsum(steps, axis=0))
    at = [midnight(BEGIN) + timedelta(hours=n) for n in range(hours)]
    rows = pl.DataFrame(
        {
            "symbol": list(COINS) * hours,
            "ts": [moment for moment in at for _ in COINS],
            "price_usd": level.ravel(),
            "rsi_14": rsi.ravel(),
            "fear_greed_index": np.repeat(mood, len(COINS)),
            "return_24h": rng.normal(size=hours * len(COINS)) * 0.02,
            "volatility_24h": np.full(hours * len(COINS), 0.005),
            "volatility_7d": np.tile(np.linspace(0.004, 0.008, len(COINS)), hours),
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    ).with_columns(date=pl.col("ts").dt.date(), source=pl.lit("test"))
    rows = rows.filter(pl.col("date") <= last)
    found = days(BEGIN, last)
    prices = rows.select(
        "symbol", "ts", "date", "source", "price_usd", available_at=pl.col("ts") + timedelta(minutes=1)
    )
    warehouse.write(PRICES, prices, found)
    features = rows.drop("price_usd").with_columns(
        available_at=pl.col("ts") + timedelta(minutes=5), pit_quality=pl.lit("final")
    )
    warehouse.write(ML_FEATURES, features, found)


def settings_of(home: Path, config: str = CONFIG) -> dict[str, str]:
    """The variables of a home over this market, whose ``models.toml`` is written with this text."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "models.toml").write_text(config, encoding="utf-8")
    return {
        "CRYPTO_ASSETS_HOME": str(home),
        "CRYPTO_ASSETS_COINS": ",".join(COINS),
        "CRYPTO_ASSETS_MODELS": str(home / "models.toml"),
    }


def walk_forward(platform: Platform) -> None:
    """Fill a platform: the market, and one backfill of the models and of what they say."""
    platform.env |= settings_of(Path(platform.settings.home))
    market(platform.warehouse)
    report = platform.backfill(BEGIN, END, tables=TABLES)
    assert report.ok, report.failures
    assert report.partitions["trained_models"] == {"requested": 4, "materialized": 4, "failed": 0}
