"""Days in memory answer as the files do, and each day is read once."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.dates import DAY
from crypto_assets.storage import range_in_memory
from crypto_assets.storage.range_in_memory import RangeInMemory
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES
from crypto_assets_tests.storage.test_warehouse import rows

START = date(2024, 1, 1)
GAP = START + DAY * 4
ASKED: list[dict[str, Any]] = [
    {"start": START + DAY * 3, "end": START + DAY * 5},
    {"start": START + DAY * 3, "end": START + DAY * 5, "columns": ["available_at", "symbol", "date"]},
    {"start": START + DAY * 3, "end": START + DAY * 5, "columns": ["available_at", "source"]},
    {"start": START + DAY * 3, "end": START + DAY * 5, "columns": ["ts"], "symbols": ["ETH"]},
    {"start": GAP, "end": GAP},
    {"start": START - DAY * 30, "end": START + DAY * 2, "columns": ["symbol", "price_usd"]},
    {"start": START + DAY, "end": START + DAY * 40},
    {"start": START + DAY, "columns": ["symbol", "ts"]},
    {"start": START + DAY * 6, "end": START + DAY * 6, "version": 1},
    {"columns": ["price_usd"]},
]


@pytest.fixture
def written(tmp_path: Path) -> Warehouse:
    """Ten days of two coins, one without rows and one that was written again, and a day of a single coin."""
    warehouse = Warehouse(str(tmp_path / "a warehouse"))
    days = [START + DAY * n for n in range(10)]
    both = pl.concat([rows(day, symbol=symbol) for day in days if day != GAP for symbol in ("BTC", "ETH")])
    warehouse.write(PRICES, both, days)
    warehouse.write(PRICES, rows(START + DAY * 3, 5, 7.0), [START + DAY * 3])
    warehouse.write(PRICES, rows(START + DAY * 10), [START + DAY * 10])
    return warehouse


@pytest.mark.parametrize("cells", [range_in_memory.CELLS_HELD, 2_000, 0], ids=["all held", "a part", "none"])
def test_memory_answers_as_the_files_do(written: Warehouse, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_in_memory, "CELLS_HELD", cells)
    held, whole = RangeInMemory(written.uri, START + DAY * 3, START + DAY * 5), SnapshotWarehouse(written.uri)
    for asked in [*ASKED, *reversed(ASKED)]:
        expected = whole.read(PRICES, **asked)
        found, planned = held.read("prices", **asked), held.scan("prices", **asked)
        key = [name for name in PRICES.key if name in expected.columns] or expected.columns[:1]
        assert found.select(key).equals(expected.select(key)), "in the order of the key"
        assert_frame_equal(found, expected, check_row_order=False)
        assert_frame_equal(planned.collect(), expected, check_row_order=False)
    assert held.read("ohlc", start=START, end=START).is_empty(), "a table that was never made"


def test_each_day_is_read_once_and_rows_that_come_meanwhile_are_not_seen(written: Warehouse) -> None:
    held = RangeInMemory(written.uri, START + DAY * 5, START + DAY * 6)
    with patch.object(pl, "scan_parquet", wraps=pl.scan_parquet) as scanned:
        for columns in (["symbol"], ["price_usd"], ["ts", "available_at"], None):
            held.read("prices", start=START + DAY * 5, end=START + DAY * 6, columns=columns)
        assert scanned.call_count == 1
        before = held.read("prices", start=START, end=START + DAY * 6)
    opened = [path for call in scanned.call_args_list for path in call.args[0]]
    assert len(opened) == len(set(opened)) == 8, "of the nine days up to two after the range, one has no file"
    written.write(PRICES, rows(START, price=9.0), [START])
    assert_frame_equal(held.read("prices", start=START, end=START + DAY * 6), before)


def test_many_rows_are_not_held(written: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    day = 48 * len(PRICES.names)  # cells
    monkeypatch.setattr(range_in_memory, "CELLS_HELD", 5 * day)
    held = RangeInMemory(written.uri, START + DAY * 6, START + DAY * 6)
    with patch.object(pl, "scan_parquet", wraps=pl.scan_parquet) as scanned:
        held.read("prices", start=START + DAY * 6, end=START + DAY * 6)
        assert len(scanned.call_args.args[0]) == 4, "two days before and after it, one of them without rows"
        held.read("prices", start=START, end=START + DAY * 6, columns=["symbol"])
        held.read("prices", start=START, end=START + DAY * 6, columns=["ts"])
    assert scanned.call_count == 3, "the nine days are more than may be held: each measure reads its columns"
