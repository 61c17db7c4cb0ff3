"""``signal_outcomes`` beside an independent computation by pandas, and that it warns where the promise was not kept."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from crypto_assets.checks.models import FEWEST_HOURS, signal_outcomes
from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES, SIGNALS, TRAINED_MODELS

COINS, BEGIN, END = 8, date(2021, 3, 2), date(2021, 3, 16)
TRAINED = date(2021, 3, 1)
HORIZON = 24


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Two weeks of prices, and signals whose scores know a part of what follows."""
    found = Warehouse(str(tmp_path))
    rng = np.random.default_rng(3)
    hours = ((END - BEGIN).days + 1) * 24
    level = 100 * np.exp(np.cumsum(0.01 * rng.normal(size=(hours, COINS)), axis=0))
    ahead = np.zeros((hours, COINS))
    ahead[:-HORIZON] = np.log(level[HORIZON:] / level[:-HORIZON])
    ts = pl.Series([midnight(BEGIN) + timedelta(hours=hour) for hour in range(hours) for _ in range(COINS)])
    rows = pl.DataFrame(
        {
            "symbol": [f"C{coin}" for coin in range(COINS)] * hours,
            "ts": ts,
            "price_usd": level.ravel(),
            "score": (ahead + 0.05 * rng.normal(size=ahead.shape)).ravel(),
            "weight": (0.1 * rng.uniform(-1, 1, ahead.shape)).ravel(),
        }
    ).with_columns(date=pl.col("ts").dt.date(), source=pl.lit("test"), pit_quality=pl.lit("final"))
    stored = days(BEGIN, END)
    prices = rows.drop("score", "weight").with_columns(available_at=pl.col("ts") + timedelta(minutes=1))
    found.write(PRICES, PRICES.conform(prices), stored)
    signals = rows.drop("price_usd").with_columns(
        available_at=pl.col("ts") + timedelta(minutes=5), strength=pl.lit("weak"), model=pl.lit("ridge"),
        model_id=pl.lit("m"), trained_until=pl.lit(midnight(BEGIN - DAY * 2)), rank=pl.lit(0.5),
        reasons=pl.lit([], dtype=pl.List(pl.String)),
    )  # fmt: skip
    found.write(SIGNALS, SIGNALS.conform(signals), stored)
    return found


def promise(warehouse: Warehouse, rank_ic: float) -> None:
    row = {
        "model_id": "m", "date": TRAINED, "available_at": midnight(TRAINED + DAY), "source": "test", "model": "ridge",
        "kind": "ridge", "status": "trained", "config_hash": "c", "config": json.dumps({"horizon_hours": HORIZON}),
        "code_version": "1", "rows": 1, "coins": 1, "features": ["rsi_14"], "artefact": "a", "artefact_sha256": "s",
        "out_of_fold_rank_ic": rank_ic, "out_of_fold_error": 0.01, "pit_quality": "final",
    }  # fmt: skip
    warehouse.write(TRAINED_MODELS, TRAINED_MODELS.conform(pl.DataFrame([row])), [TRAINED])


def judged(warehouse: Warehouse, known: date = END + DAY) -> Outcome:
    return signal_outcomes(Scope(warehouse, Settings.from_env({}), BEGIN, END, midnight(known)))


def test_what_followed_is_that_of_pandas(warehouse: Warehouse) -> None:
    promise(warehouse, 0.05)
    found = judged(warehouse)
    prices = warehouse.read(PRICES).to_pandas().pivot(index="ts", columns="symbol", values="price_usd")
    forward = (prices.shift(-HORIZON) / prices - 1).iloc[:-HORIZON]
    rows = warehouse.read(SIGNALS).to_pandas()
    scores, weights = (rows.pivot(index="ts", columns="symbol", values=name) for name in ("score", "weight"))
    scores, weights = scores.loc[forward.index], weights.loc[forward.index]
    hourly = scores.rank(axis=1).corrwith(forward.rank(axis=1), axis=1)
    assert found.numbers["hours"] == len(hourly)
    assert found.numbers["rank_ic"] == pytest.approx(hourly.mean(), abs=1e-9)
    assert found.numbers["earned"] == pytest.approx((weights * forward).sum(axis=1).mean(), abs=1e-9)
    deviation = hourly - hourly.mean()
    variance = sum(
        (1 if lag == 0 else 2) * (1 - lag / HORIZON) * (deviation * deviation.shift(lag)).sum() / len(hourly)
        for lag in range(HORIZON)
    )
    least = 0.05 - 2 * np.hypot(0.01, np.sqrt(variance / len(hourly)))
    assert found.numbers["rank_ic_least"] == pytest.approx(least, abs=1e-9)
    assert found.passed and "promised 0.0500" in found.description


def test_it_warns_where_less_followed_than_was_promised(warehouse: Warehouse) -> None:
    promise(warehouse, 0.95)
    found = judged(warehouse)
    assert (found.passed, found.severity) == (False, "WARN")
    assert f"promised {0.95:.4f}" in found.description and found.numbers["rank_ic"] < found.numbers["rank_ic_least"]


def test_only_signals_whose_horizon_has_passed_are_judged(warehouse: Warehouse) -> None:
    promise(warehouse, 0.95)
    early = judged(warehouse, BEGIN + DAY * 2)
    assert early.passed and early.numbers["hours"] < FEWEST_HOURS
    assert f"{FEWEST_HOURS} are needed" in early.description
    assert isinstance(early.numbers["hours"], int) and pd.notna(early.numbers["hours"])
