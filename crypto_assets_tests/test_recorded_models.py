"""Recorded bars of twenty coins -> features, trainings and predictions by backfill; the report recomputed with pandas.

Prices are the recorded closes at their hour. The bar of the better model's rank IC is one for the plumbing, not a boast.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from dagster import DagsterInstance

from crypto_assets.catalog import all_coins
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.models.market_state import SOURCES
from crypto_assets.monitoring.model_quality import gather
from crypto_assets.operate.backfill import backfill
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import OHLC, PRICES

FIRST, FEATURES_FROM, TRAINED = date(2021, 1, 25), date(2022, 3, 1), date(2022, 9, 1)
LAST = date(2022, 11, 30)
COUNT = 20
CONFIG = """
[[model]]
name = "ridge"
kind = "ridge"
window_days = 180

[[model]]
name = "lightgbm"
kind = "lightgbm"
window_days = 180
parameters = { trees = 300, threads = 1 }
"""


def recorded(shared: Path) -> pl.DataFrame:
    """The twenty coins of the catalogue with the most bars: symbol, ts (open), open, high, low, close, volume."""
    folder = shared / "series" / "ohlcv_hourly"
    if not folder.is_dir():
        pytest.skip("no recorded bars beside the repository")
    rows = pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])
    rows = rows.filter(
        pl.col("symbol").is_in([coin.symbol for coin in all_coins()]),
        pl.col("ts").is_between(midnight(FIRST), midnight(LAST + DAY * 9)),
    )
    most = rows.group_by("symbol").len().sort("len", "symbol", descending=[True, False])["symbol"][:COUNT]
    found = rows.filter(pl.col("symbol").is_in(most.to_list())).unique(["symbol", "ts"])
    return found.select("symbol", "ts", "open", "high", "low", "close", "volume").sort("symbol", "ts")


def fill(warehouse: Warehouse, bars: pl.DataFrame) -> None:
    """Write ``prices`` and ``ohlc``: a bar closes where the next begins, and its close is that hour's price."""
    hour = timedelta(hours=1)
    closed = {"available_at": pl.col("ts") + hour, "source": pl.lit("recorded"), "date": pl.col("ts").dt.date()}
    ohlc = bars.with_columns(**closed, factor=pl.lit(1.0))
    prices = bars.select(
        "symbol", ts=pl.col("ts") + hour, price_usd="close", available_at=pl.col("ts") + hour, source=pl.lit("recorded")
    ).with_columns(date=pl.col("ts").dt.date())
    for contract, rows in ((OHLC, ohlc), (PRICES, prices)):
        stored = days(rows["date"].min(), rows["date"].max())  # type: ignore[arg-type]
        warehouse.write(contract, contract.conform(rows), stored)


def test_recorded_bars_become_models_whose_report_pandas_confirms(
    shared: Path, instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = recorded(shared)
    coins = bars["symbol"].unique().sort().to_list()
    (tmp_path / "models.toml").write_text(CONFIG)
    for name, value in {
        "HOME": tmp_path / "home", "COINS": ",".join(coins), "START": FIRST, "MODELS": tmp_path / "models.toml"
    }.items():  # fmt: skip
        monkeypatch.setenv(f"CRYPTO_ASSETS_{name}", str(value))
    settings = Settings.from_env()
    warehouse = Warehouse(settings.warehouse)
    fill(warehouse, bars)
    assert backfill(instance, warehouse, ["ml_features"], FEATURES_FROM, LAST).ok
    trained = backfill(instance, warehouse, ["trained_models"], TRAINED, TRAINED)
    assert trained.ok, trained.failures
    predicted = backfill(instance, warehouse, ["predictions"], TRAINED, LAST)
    assert predicted.ok, predicted.failures

    rows = warehouse.read("trained_models")
    assert set(rows["model"]) == {"ridge", "lightgbm"}
    print("features", rows["features"].list.len().to_list())
    assert rows["features"].list.len().min() >= 80  # ridge: features of the coins, and bars alone give no more
    read = set(rows.filter(model="lightgbm")["features"].item())
    assert len(read) >= 100 and {"hour_sin", *SOURCES} <= read  # trees: the market's too
    assert rows["coins"].min() == COUNT
    assert (rows["trained_until"] - rows["train_start"]).min() >= timedelta(days=178)

    found = gather(warehouse, settings, TRAINED, LAST, midnight(LAST + DAY * 10))
    prices = (
        bars.with_columns(pl.col("ts") + timedelta(hours=1))
        .to_pandas()
        .pivot(index="ts", columns="symbol", values="close")
    )
    prices = prices.reindex(pd.date_range(prices.index[0], prices.index[-1], freq="1h"))
    forward = prices.shift(-24) / prices - 1
    exported = warehouse.read("predictions").to_pandas()
    best = 0.0
    for one in found.comparison.models:
        scores = exported[exported["model"] == one.name].pivot(index="ts", columns="symbol", values="score")
        outcomes = forward.reindex(scores.index)[scores.columns]
        both = scores.notna() & outcomes.notna()
        hourly = scores.where(both).rank(axis=1).corrwith(outcomes.where(both).rank(axis=1), axis=1)
        daily = hourly.groupby(pd.DatetimeIndex(hourly.index).date).mean().dropna()
        assert one.by_day["date"].to_list() == list(daily.index)
        np.testing.assert_allclose(one.by_day["rank_ic"].to_numpy(), daily.to_numpy(), rtol=0, atol=1e-9)
        best = max(best, one.figures["rank_ic"])
    rules = {one.name: one.figures["rank_ic"] for one in found.comparison.features}
    print({one.name: one.figures["rank_ic"] for one in found.comparison.models}, rules)
    assert best >= 0.03
    assert "low_volatility" in rules
