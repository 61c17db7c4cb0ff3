"""A warehouse of two coins and three days, whose feature values say which row they are from."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

import crypto_assets as ca
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.store.store import Store
from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.tables.schemas import ML_FEATURES, PRICES

FIRST, DAYS = date(2024, 1, 1), 3
MIDNIGHT = datetime(2024, 1, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
HOURS = DAYS * 24
SYMBOLS = ("BTC", "ETH")
GAP = range(30, 36)  # hours in which ETH has no row


def hours(symbol: str) -> list[int]:
    """The hours after FIRST of which the coin has a row."""
    return [hour for hour in range(HOURS) if symbol != "ETH" or hour not in GAP]


def feature_rows(add: float = 0.0) -> pl.DataFrame:
    """Rows of ml_features: rsi_14 is the hour's number within the day, price_usd the hour since FIRST plus ``add``."""
    rows = [
        {
            "symbol": symbol,
            "ts": MIDNIGHT + HOUR * hour,
            "date": (MIDNIGHT + HOUR * hour).date(),
            "available_at": MIDNIGHT + HOUR * hour + timedelta(minutes=5),
            "pit_quality": "final",
            "source": "derived",
            "price_usd": hour + 1 + add + (1000.0 if symbol == "ETH" else 0.0),
            "rsi_14": float(hour % 24),
        }
        for symbol in SYMBOLS
        for hour in hours(symbol)
    ]
    given = pl.DataFrame(rows).with_columns(pl.col("ts", "available_at").cast(TIMESTAMP))
    rest = [
        pl.lit(None, kind).alias(name) for name, kind in ML_FEATURES.polars_schema.items() if name not in given.columns
    ]
    return given.with_columns(rest).select(ML_FEATURES.names)


def price_rows() -> pl.DataFrame:
    """Rows of prices at the same hours, each known 10 minutes after its mark."""
    rows = (
        feature_rows()
        .select("symbol", "ts", "date", "price_usd", "source", "pit_quality")
        .with_columns(
            (pl.col("ts") + timedelta(minutes=10)).alias("available_at"),
            pl.lit(None, pl.Float64).alias("market_cap_usd"),
            pl.lit(None, pl.Float64).alias("volume_24h_usd"),
            pl.lit("coingecko").alias("source"),
        )
    )
    return rows.select(PRICES.names)


def days() -> list[date]:
    return [FIRST + timedelta(days=n) for n in range(DAYS)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose tables hold these rows; the tests of a module do not change them."""
    home = tmp_path_factory.mktemp("home")
    warehouse = Warehouse(str(home / "warehouse"))
    warehouse.write(PRICES, price_rows(), days())
    warehouse.write(ML_FEATURES, feature_rows(), days())
    return home


@pytest.fixture
def store(home: Path) -> Store:
    return ca.open(home)
