"""``crypto-assets sql`` with a small query, against DuckDB alone counting the rows of the same files.

The baseline imports what ours is written in (Polars, DuckDB, deltalake), so that the ratio is about our part.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES
from crypto_assets_bench import _market, _starts
from crypto_assets_bench.result import Result

DAYS = 60


def run() -> Result:
    with tempfile.TemporaryDirectory(prefix="bench_start_sql_") as folder:
        frame = _market.table("prices", _market.END - timedelta(days=DAYS), _market.END)
        Warehouse(str(Path(folder) / "warehouse")).write(PRICES, frame, sorted(set(frame["date"])))
        files = f"{folder}/warehouse/prices/*/*.parquet"
        plain = f"import polars, duckdb, deltalake; print(duckdb.sql(\"select count(*) from read_parquet('{files}')\"))"
        return _starts.compared(
            ["-c", _starts.OURS, "sql", "select count(*) from prices"],
            ["-c", plain],
            "1 s",
            {"CRYPTO_ASSETS_HOME": folder},
        )
