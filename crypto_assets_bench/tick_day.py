"""One tick: the newest day of ``ml_features`` for 300 coins, computed, validated and written into the table.

The baseline is the same day as part of a month computed at once: what a day costs when nothing is computed for it alone.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import date, timedelta

from crypto_assets.dates import days
from crypto_assets.features.build import build_features
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES
from crypto_assets_bench import _market
from crypto_assets_bench.result import Result, peak_mb

MONTH_DAYS = 30
ROUNDS = 5


def run() -> Result:
    last = _market.END
    first = last - timedelta(days=MONTH_DAYS - 1)
    inputs = _market.tables(first, last)
    with tempfile.TemporaryDirectory(prefix="bench_tick_") as folder:
        warehouse = Warehouse(folder)
        began = time.perf_counter()
        month = build_features(tables=inputs, symbols=_market.SYMBOLS, start=first, end=last)
        warehouse.write(ML_FEATURES, month, days(first, last))
        whole = time.perf_counter() - began
        loaded = {
            table: frame.filter(frame["date"] >= last - timedelta(days=LOOKBACK_DAYS[table]))
            for table, frame in inputs.items()
        }
        ticks = [_tick(warehouse, loaded, last, n) for n in range(ROUNDS)]
    ours = statistics.median(ticks)
    return Result(
        ours_s=ours,
        baseline_s=whole / MONTH_DAYS,
        ratio=ours / (whole / MONTH_DAYS),
        peak_mb=peak_mb(),
        notes={"ratio_is": "one day alone / its share of a month", "at_most_s": 2.0, "worst_s": round(max(ticks), 2)},
    )


def _tick(warehouse: Warehouse, loaded: dict, day: date, number: int) -> float:  # type: ignore[type-arg]
    """Seconds to compute and write the day; a price that differs each time, so that there is something to write."""
    prices = loaded["prices"].with_columns(loaded["prices"]["price_usd"] * (1 + 1e-6 * number))
    began = time.perf_counter()
    frame = build_features(tables={**loaded, "prices": prices}, symbols=_market.SYMBOLS, start=day, end=day)
    report = warehouse.write(ML_FEATURES, frame, [day])
    seconds = time.perf_counter() - began
    if report.rows != 24 * _market.COINS:
        raise RuntimeError(f"tick_day wrote {report.rows} rows instead of {24 * _market.COINS}; fix the benchmark")
    return seconds
