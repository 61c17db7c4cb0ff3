"""Readers of a process share an opened table for as long as nobody commits to it."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from crypto_assets.storage import opened
from crypto_assets.storage.compaction import tidy
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES
from crypto_assets_tests.storage.test_warehouse import rows

DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(3)]


@pytest.fixture
def logs_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables whose log was read, in order."""
    found: list[str] = []

    class Counted(DeltaTable):
        def __init__(self, table_uri: str, **options: Any) -> None:
            found.append(Path(table_uri).parent.name)
            super().__init__(table_uri, **options)

    monkeypatch.setattr("crypto_assets.storage.warehouse.DeltaTable", Counted)
    return found


def filled(folder: Path, price: float = 100.0) -> Warehouse:
    warehouse = Warehouse(str(folder))
    warehouse.write(PRICES, rows(DAYS[0], price=price), DAYS[:1])
    return warehouse


def first_price(warehouse: Warehouse) -> float:
    return float(warehouse.read("prices")["price_usd"][0])


def test_the_log_is_read_again_only_after_a_commit(tmp_path: Path, logs_read: list[str]) -> None:
    filled(tmp_path / "one")
    logs_read.clear()
    for _ in range(3):
        one = Warehouse(str(tmp_path / "one"))
        assert one.exists("prices") and one.version("prices") == 1 and first_price(one) == 100.0
    assert logs_read == ["one"]
    # A commit of anybody is seen, also one that this process knows nothing of.
    DeltaTable(str(tmp_path / "one/prices")).delete("price_usd > 0")
    logs_read.clear()
    assert Warehouse(str(tmp_path / "one")).read("prices").is_empty()
    assert logs_read == ["one"]


def test_a_writer_leaves_what_readers_hold_as_it_was(tmp_path: Path) -> None:
    warehouse = filled(tmp_path / "one")
    held = warehouse.snapshot("prices")
    assert held is not None
    warehouse.write(PRICES, rows(DAYS[1]), DAYS[1:2])
    warehouse.forget(PRICES, rows(DAYS[1]).select(*PRICES.key, "date").unique())
    tidy(warehouse, "prices", timedelta(0), ())
    assert held.version() == 1
    assert (warehouse.version("prices") or 0) > 2
    assert warehouse.days_with_rows("prices", DAYS[0], DAYS[-1]) == {DAYS[0]: 24}


def test_a_table_in_the_place_of_another_is_opened(tmp_path: Path) -> None:
    assert first_price(filled(tmp_path / "one")) == 100.0
    shutil.rmtree(tmp_path / "one")
    assert not Warehouse(str(tmp_path / "one")).exists("prices")
    assert first_price(filled(tmp_path / "one", price=7.0)) == 7.0


def test_those_used_last_are_kept(tmp_path: Path, logs_read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "MOST", 2)
    warehouses = {name: filled(tmp_path / name) for name in ("one", "two", "three")}
    for name in ("one", "two", "one", "three"):
        warehouses[name].version("prices")
    logs_read.clear()
    for name in ("three", "one", "two"):
        assert warehouses[name].version("prices") == 1
    assert logs_read == ["two"], "it was the one that nobody had asked for the longest"
