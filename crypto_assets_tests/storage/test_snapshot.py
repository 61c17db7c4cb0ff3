"""A look at the tables as they stand: every read of it sees the same rows, and the next look sees what came since."""

from __future__ import annotations

from datetime import date
from unittest.mock import patch

from polars.testing import assert_frame_equal

from crypto_assets.dates import DAY
from crypto_assets.storage import warehouse
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES
from crypto_assets_tests.storage.conftest import Place
from crypto_assets_tests.storage.test_warehouse import rows

START = date(2024, 1, 1)


def test_all_reads_of_a_look_are_of_one_version(place: Place) -> None:
    written = Warehouse(place("warehouse"))
    look = SnapshotWarehouse(written.uri)
    assert look.read("ohlc").is_empty()
    written.write(PRICES, rows(START), [START])
    before = look.read("prices")
    written.write(PRICES, rows(START + DAY, price=7.0), [START + DAY])
    written.write(PRICES, rows(START, price=9.0), [START])
    assert_frame_equal(look.read("prices"), before)
    assert look.days_with_rows("prices", START, START + DAY) == {START: 24}
    assert look.version("prices") == 1
    assert look.read("prices", version=2).height == 48, "who names a version gets it"
    assert_frame_equal(SnapshotWarehouse(written.uri).read("prices"), written.read("prices"))


def test_a_look_opens_a_table_once(place: Place) -> None:
    written = Warehouse(place("warehouse"))
    written.write(PRICES, rows(START), [START])
    look = SnapshotWarehouse(written.uri)
    with (
        patch.object(warehouse, "DeltaTable", wraps=warehouse.DeltaTable) as opened,
        patch.object(warehouse, "_adds", wraps=warehouse._adds) as listed,
    ):
        for _ in range(3):
            assert look.read("prices", start=START, end=START).height == 24
            assert look.scan("prices", start=START).collect().height == 24
    assert (opened.call_count, listed.call_count) == (1, 1)
