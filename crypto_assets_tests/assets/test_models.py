"""Trainings, predictions and signals through Dagster, on a market in which one feature orders what follows."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dagster import DagsterInstance

from crypto_assets.dates import DAY, days, midnight
from crypto_assets.operate.backfill import BackfillReport, backfill
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES, MODEL_TRIALS, PREDICTIONS, PRICES, SIGNALS, TRAINED_MODELS

COINS = ("BTC", "ETH", "XRP", "ADA", "SOL", "DOT", "LTC", "LINK")
BEGIN, END = date(2021, 1, 1), date(2021, 4, 5)
MONTHS = [date(2021, 1, 1), date(2021, 2, 1), date(2021, 3, 1), date(2021, 4, 1)]
TABLES = ("trained_models", "predictions", "signals")
CONFIG = """
[[model]]
name = "ridge"
kind = "ridge"
features = ["return_24h", "rsi_14", "volatility_7d", "sma_20"]

[[model]]
name = "trees"
kind = "lightgbm"
features = ["return_24h", "rsi_14", "volatility_7d"]
parameters = { trees = 10, leaves = 7, least_rows_a_leaf = 20, threads = 1 }
"""


def market(warehouse: Warehouse, last: date = END, seed: int = 5) -> None:
    """Write prices whose next day follows rsi_14, and these features, for all coins and hours."""
    rng = np.random.default_rng(seed)
    hours = ((END - BEGIN).days + 1) * 24
    rsi = rng.uniform(10, 90, (hours, len(COINS)))
    steps = 0.004 * rng.normal(size=(hours, len(COINS)))
    steps[1:] += 0.01 * (rsi[:-1] - 50) / 40
    level = 100 * np.exp(np.cumsum(steps, axis=0))
    at = [midnight(BEGIN) + timedelta(hours=n) for n in range(hours)]
    rows = pl.DataFrame(
        {
            "symbol": list(COINS) * hours,
            "ts": [moment for moment in at for _ in COINS],
            "price_usd": level.ravel(),
            "rsi_14": rsi.ravel(),
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


@pytest.fixture
def open_home(instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes homes of this instance with models: ``open_home(name, config)`` gives the warehouse."""

    def make(name: str, config: str = CONFIG) -> Warehouse:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        (home / "models.toml").write_text(config)
        monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(home))
        monkeypatch.setenv("CRYPTO_ASSETS_COINS", ",".join(COINS))
        monkeypatch.setenv("CRYPTO_ASSETS_MODELS", str(home / "models.toml"))
        return Warehouse(Settings.from_env().warehouse)

    return make


def run(instance: DagsterInstance, warehouse: Warehouse, start: date = BEGIN, end: date = END) -> BackfillReport:
    return backfill(instance, warehouse, TABLES, start, end)


def test_a_backfill_is_the_walk_forward(instance: DagsterInstance, open_home) -> None:
    """Each month is trained on what was known when it began, and its models serve from the next day on."""
    warehouse = open_home("one")
    market(warehouse)
    report = run(instance, warehouse)
    assert report.ok, report.failures
    assert report.partitions["trained_models"] == {"requested": 4, "materialized": 4, "failed": 0}
    trained = warehouse.read(TRAINED_MODELS)
    assert trained.group_by("date").len().sort("date").rows() == [(first, 2) for first in MONTHS[1:]]
    assert set(trained["status"]) == {"trained"}
    assert (trained["trained_until"] < trained["date"].cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).all()
    assert trained["out_of_fold_rank_ic"].min() > 0.05
    assert trained["coins"].unique().to_list() == [len(COINS)]

    predicted = warehouse.read(PREDICTIONS)
    assert predicted["date"].min() == MONTHS[1] + DAY  # the training has the first day
    served = dict(predicted.filter(pl.col("date") == date(2021, 3, 1)).select("model", "trained_until").unique().rows())
    assert all(moment < midnight(MONTHS[1]) for moment in served.values())
    assert (predicted["trained_until"] < predicted["available_at"]).all()
    assert predicted.height == 2 * len(COINS) * 24 * ((END - MONTHS[1]).days)

    found = warehouse.read(SIGNALS)
    assert found.height == predicted.height // 2
    hourly = found.group_by("ts").agg(gross=pl.col("weight").abs().sum(), largest=pl.col("weight").abs().max())
    assert hourly["gross"].max() <= 1 + 1e-9
    assert hourly["largest"].max() <= 0.1 + 1e-9
    assert found["reasons"].list.len().unique().to_list() == [3]
    first_named = found["reasons"].list.first().str.split(" ").list.first()
    assert first_named.value_counts(sort=True)["reasons"][0] == "rsi_14"

    trials = warehouse.read(MODEL_TRIALS)
    assert set(trials["trial_id"]) == set(trained["model_id"])
    again = {table: warehouse.version(table) for table in (*TABLES, "model_trials")}
    assert run(instance, warehouse).ok
    assert {table: warehouse.version(table) for table in again} == again
