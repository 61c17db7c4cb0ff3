"""Sixty monthly trainings of five years of fifty coins, their predictions and signals, by the platform's own command.

``python -m crypto_assets_bench._sixty_months [MONTHS]`` writes a home of seven years of hourly features and prices, so that
the first training has its two years too, then runs ``crypto-assets backfill`` over ``trained_models``, ``predictions`` and
``signals``, one after the other. It prints wall time, CPU time and the highest resident set of any process of each. It takes
half an hour and 5 GB of disk, so ``make bench`` leaves it out.

The models are the default ones: ridge and LightGBM with 300 trees on two years, at every fifth hour (``sample_hours``).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from crypto_assets.catalog import all_coins
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.features.all_features import FEATURES
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES, PRICES

COINS, COLUMNS = 50, 120
FIRST, TRAINED = date(2019, 1, 1), date(2021, 1, 1)
LEADING = ("return_24h", "return_7d", "volatility_7d", "volatility_24h", "beta_btc_30d")  # rules and signals read them
Floats = np.ndarray


def months(first: date, count: int) -> Iterator[tuple[date, date]]:
    """Yield the first and last day of so many months."""
    for _ in range(count):
        following = (first + DAY * 32).replace(day=1)
        yield first, following - DAY
        first = following


def write_home(folder: Path, trained: int) -> str:
    """Write both tables, month by month, and return the coins.

    Features wander, each at its own pace; a tenth of them know a little of what follows, and a fourth of them are unknown
    in every tenth row.
    """
    warehouse, rng = Warehouse(str(folder / "warehouse")), np.random.default_rng(3)
    symbols = [coin.symbol for coin in all_coins()][:COINS]
    names = [*LEADING, *(name for name in FEATURES if name not in LEADING)][:COLUMNS]
    level, state = 4 + rng.normal(size=COINS), rng.normal(size=(COLUMNS, COINS))
    lasting = rng.uniform(0.6, 0.995, (COLUMNS, 1))
    knows = np.where(np.arange(COLUMNS)[:, None] % 10 == 0, 4e-5, 0.0)
    for first, last in months(FIRST, 24 + trained):
        hours = ((last - first).days + 1) * 24
        values, price = np.empty((hours, COLUMNS, COINS)), np.empty((hours, COINS))
        for hour in range(hours):
            state = lasting * state + np.sqrt(1 - lasting**2) * rng.normal(size=state.shape)
            values[hour], price[hour] = state, np.exp(level)
            level = level + (knows * state).sum(axis=0) + 0.006 * rng.normal(size=COINS)
        marks = pl.Series([midnight(first) + timedelta(hours=hour) for hour in range(hours)])
        keys = pl.DataFrame({"symbol": symbols * hours, "ts": marks.gather(np.repeat(np.arange(hours), COINS))})
        keys = keys.with_columns(date=pl.col("ts").dt.date(), source=pl.lit("made up"), pit_quality=pl.lit("final"))
        prices = keys.with_columns(
            pl.Series("price_usd", price.ravel()), available_at=pl.col("ts") + timedelta(minutes=1)
        )
        columns = [_column(name, values[:, place].ravel(), place, rng) for place, name in enumerate(names)]
        features = keys.with_columns(*columns, available_at=pl.col("ts") + timedelta(minutes=5))
        warehouse.write(PRICES, PRICES.conform(prices), days(first, last))
        warehouse.write(ML_FEATURES, ML_FEATURES.conform(features), days(first, last))
    return ",".join(symbols)


def _column(name: str, values: Floats, place: int, rng: np.random.Generator) -> pl.Series:
    """Bring values between the bounds of a feature's contract."""
    column = ML_FEATURES.by_name[name]
    low = column.lower if column.lower is not None else column.above
    if name.startswith("volatility"):
        values = 0.006 * np.exp(0.3 * values)
    elif low is not None and column.upper is not None:
        values = low + (column.upper - low) / (1 + np.exp(-values))
    elif low is not None:
        values = low + np.exp(0.3 * values)
    elif column.upper is not None:
        values = column.upper - np.exp(0.3 * values)
    if place % 4 == 3:
        values = np.where(rng.random(values.size) < 0.1, np.nan, values)
    return pl.Series(name, values).fill_nan(None).cast(column.dtype)


def main(trained: int = 60) -> None:
    """Write the home, run the commands, and print a line of JSON for each table."""
    with tempfile.TemporaryDirectory(prefix="bench_sixty_") as name:
        folder = Path(name)
        coins = write_home(folder, trained)
        env = os.environ | {
            "CRYPTO_ASSETS_HOME": name, "CRYPTO_ASSETS_START": str(FIRST), "CRYPTO_ASSETS_COINS": coins,
        }  # fmt: skip
        *_, (_, last) = months(TRAINED, trained)
        for table in ("trained_models", "predictions", "signals"):
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            command = ["backfill", "--start", str(TRAINED), "--end", str(last), "--select", f'key:"{table}"', "--json"]
            done = subprocess.run(
                [sys.executable, "-m", "crypto_assets.cli.main", *command], env=env, stdout=subprocess.PIPE, check=True
            )
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
            print(json.dumps({
                "table": table, "rows": json.loads(done.stdout)["rows"][table], "seconds": round(time.monotonic() - began),
                "cpu_s": round(cpu), "highest_peak_mb_so_far": round(used.ru_maxrss / 1024),
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
