"""Processor time of ``ml_features`` per row while the table grows: the last rows of 8 N against the first N.

40 coins hourly, in chunks of 60 days: N is two chunks (115,200 rows), 8 N is sixteen. Each chunk is what a backfill does:
read the inputs with their look-back from tables that hold all days, compute, validate, write. If a chunk opened more of
the log, read more days or looked at more of the table because there is more of it, the last chunks would cost more than
the first. ``ours_s`` and ``baseline_s`` are seconds per million rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from crypto_assets.dates import chunks, days
from crypto_assets.features.build import build_features
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES
from crypto_assets_bench import _market
from crypto_assets_bench.result import Result, peak_mb

SYMBOLS = _market.SYMBOLS[:40]
CHUNK_DAYS, CHUNKS, FIRST = 60, 16, 2  # days of a chunk, chunks of 8 N, chunks of N
START = _market.END - timedelta(days=CHUNK_DAYS * CHUNKS - 1)
MILLION = 1e6


def run() -> Result:
    with tempfile.TemporaryDirectory(prefix="bench_scale_") as folder:
        warehouse = Warehouse(folder)
        for name, frame in _market.tables(START, _market.END, SYMBOLS).items():
            warehouse.write(CONTRACTS[name], frame, sorted(set(frame["date"])))
        with tempfile.TemporaryDirectory(prefix="bench_scale_warm_") as other:  # what is slow the first time only
            _chunk(warehouse, Warehouse(other), START, START + timedelta(days=CHUNK_DAYS - 1))
        costs = [_chunk(warehouse, warehouse, first, last) for first, last in chunks(START, _market.END, CHUNK_DAYS)]
        rows = sum(warehouse.days_with_rows(ML_FEATURES.table, START, _market.END).values())
    first, last = _per_million(costs[:FIRST]), _per_million(costs[-FIRST:])
    ours, baseline = sum(last.values()), sum(first.values())
    steps = {step: [round(first[step], 1), round(last[step], 1)] for step in first}
    notes = {"ratio_is": "last / first, at most 1.2", "rows": rows, "first_and_last_by_step": steps}
    return Result(ours_s=ours, baseline_s=baseline, ratio=ours / baseline, peak_mb=peak_mb(), notes=notes)


def _chunk(inputs: Warehouse, to: Warehouse, first: Any, last: Any) -> dict[str, float]:
    """Seconds of the processor by step, and the rows."""
    seconds: dict[str, float] = {}
    given = _timed(seconds, "read", partial(_read, inputs, first, last))
    frame = _timed(seconds, "compute", partial(build_features, tables=given, symbols=SYMBOLS, start=first, end=last))
    written = _timed(seconds, "validate_write", partial(to.write, ML_FEATURES, frame, days(first, last)))
    return {**seconds, "rows": written.rows}


def _read(warehouse: Warehouse, first: Any, last: Any) -> dict[str, Any]:
    return {
        table: warehouse.read(table, start=first - timedelta(days=back), end=last)
        for table, back in LOOKBACK_DAYS.items()
    }


def _timed(seconds: dict[str, float], step: str, work: Callable[[], Any]) -> Any:
    began = time.process_time()
    found = work()
    seconds[step] = time.process_time() - began
    return found


def _per_million(costs: list[dict[str, float]]) -> dict[str, float]:
    rows = sum(cost["rows"] for cost in costs)
    return {step: sum(cost[step] for cost in costs) / rows * MILLION for step in costs[0] if step != "rows"}
