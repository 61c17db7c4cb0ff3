"""A full rebuild of ``ml_features`` end to end, against just reading the inputs and writing the output.

300 coins x 640 days hourly: 4.6 M rows. Ours reads, computes, validates and writes in the chunks that a backfill makes.
The baseline reads the same inputs once and writes the same rows as plain Parquet files with Polars' defaults.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from crypto_assets.assets.shell import days_in_memory
from crypto_assets.dates import chunks, days
from crypto_assets.features.build import build_features
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES
from crypto_assets_bench import _market
from crypto_assets_bench.result import Result, peak_mb


def run() -> Result:
    with tempfile.TemporaryDirectory(prefix="bench_rebuild_") as folder:
        store(Path(folder))
        return _in_child(folder)


def store(folder: Path) -> None:
    """Write the input tables."""
    warehouse = Warehouse(str(folder / "warehouse"))
    for name, frame in _market.tables().items():
        warehouse.write(CONTRACTS[name], frame, sorted(set(frame["date"])))


def _in_child(folder: str) -> Result:
    """A process of its own, so that the peak is the rebuild's and not that of making the inputs."""
    done = subprocess.run(
        [sys.executable, "-m", "crypto_assets_bench.rebuild_vs_io", folder], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Result(
        ours_s=found["ours_s"],
        baseline_s=found["baseline_s"],
        ratio=found["ours_s"] / found["baseline_s"],
        peak_mb=found["peak_mb"],
        notes={"ratio_is": "ours / baseline, at most 3", **found["notes"]},
    )


def rebuild(
    warehouse: Warehouse, seconds: dict[str, float], start: date = _market.START, end: date = _market.END
) -> int:
    """Every chunk: read, compute, validate and write. Seconds by step; returns rows."""
    rows = 0
    for first, last in chunks(start, end, days_in_memory(TABLES["ml_features"], _market.COINS)):
        inputs = _timed(seconds, "read", _inputs, warehouse, first, last)
        frame = _timed(seconds, "compute", _features, inputs, first, last)
        inputs.clear()
        rows += _timed(seconds, "validate_write", warehouse.write, ML_FEATURES, frame, days(first, last)).rows
    return rows


def _inputs(warehouse: Warehouse, first: date, last: date) -> dict[str, Any]:
    return {
        table: warehouse.read(table, start=first - timedelta(days=back), end=last)
        for table, back in LOOKBACK_DAYS.items()
    }


def _features(inputs: dict[str, Any], first: date, last: date) -> Any:
    return build_features(tables=inputs, symbols=_market.SYMBOLS, start=first, end=last)


def _timed(seconds: dict[str, float], step: str, work: Callable[..., Any], *arguments: Any) -> Any:
    began = time.perf_counter()
    found = work(*arguments)
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - began
    return found


def baseline(warehouse: Warehouse, folder: Path) -> float:
    """Seconds to read every input once and to write the output's rows, chunk by chunk."""
    seconds: dict[str, float] = {}
    for table in LOOKBACK_DAYS:
        _timed(seconds, "io", warehouse.read, table)
    for number, (first, last) in enumerate(
        chunks(_market.START, _market.END, days_in_memory(TABLES["ml_features"], _market.COINS))
    ):
        frame = warehouse.read(ML_FEATURES, start=first, end=last)
        _timed(seconds, "io", frame.write_parquet, folder / f"plain_{number}.parquet")
    return seconds["io"]


def main(folder: Path) -> None:
    warehouse = Warehouse(str(folder / "warehouse"))
    seconds: dict[str, float] = {}
    rows = rebuild(warehouse, seconds)
    peak = peak_mb()
    notes = {f"{step}_s": round(value, 1) for step, value in seconds.items()}
    notes |= {"rows": rows, "columns": len(ML_FEATURES.value_columns)}
    found = {"ours_s": sum(seconds.values()), "baseline_s": baseline(warehouse, folder), "peak_mb": peak}
    print(json.dumps({**found, "notes": notes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
