"""A rebuild of ``ml_features`` over years: ``python -m crypto_assets_bench._rebuild_years YEARS FOLDER``.

300 coins hourly. Each chunk that a backfill makes is a line: its days, seconds and the process's peak memory so far. A
peak that stays where the first chunks put it says that memory depends on the chunk and not on the years. Not in ``make
bench``: five years are 13 M rows and take a quarter of an hour on a quiet machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from crypto_assets.assets.shell import days_in_memory
from crypto_assets.dates import chunks
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.schemas import CONTRACTS, ML_FEATURES
from crypto_assets_bench import _market
from crypto_assets_bench.rebuild_vs_io import rebuild
from crypto_assets_bench.result import peak_mb

SLICE = 120  # days a write of the inputs


def first_day(years: float) -> date:
    return _market.END - timedelta(days=round(365.25 * years) - 1)


def store(warehouse: Warehouse, start: date) -> None:
    for name in LOOKBACK_DAYS:
        frame = _market.table(name, start, _market.END)
        for first, last in chunks(frame["date"].min(), frame["date"].max(), SLICE):  # type: ignore[arg-type]
            part = frame.filter(frame["date"].is_between(first, last))
            warehouse.write(CONTRACTS[name], part, sorted(set(part["date"])))
        print(f"{name}: {frame.height:,} rows", flush=True)


def rebuilt(warehouse: Warehouse, start: date) -> None:
    began, rows = time.perf_counter(), 0
    for first, last in chunks(start, _market.END, days_in_memory(TABLES["ml_features"], _market.COINS)):
        seconds: dict[str, float] = {}
        rows += rebuild(warehouse, seconds, first, last)
        said = ", ".join(f"{step} {value:.1f} s" for step, value in seconds.items())
        print(f"{first} to {last}: {said}; peak {peak_mb():,.0f} MB", flush=True)
    columns = len(ML_FEATURES.value_columns)
    print(f"{rows:,} rows x {columns} columns in {time.perf_counter() - began:.0f} s, peak {peak_mb():,.0f} MB")


def main(years: float, folder: Path, step: str = "") -> None:
    warehouse = Warehouse(str(folder / "warehouse"))
    if step:
        (store if step == "store" else rebuilt)(warehouse, first_day(years))
        return
    for each in ("store", "rebuild"):  # processes of their own, so that the peak is the rebuild's
        module = [sys.executable, "-m", "crypto_assets_bench._rebuild_years"]
        subprocess.run([*module, str(years), str(folder), each], check=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
