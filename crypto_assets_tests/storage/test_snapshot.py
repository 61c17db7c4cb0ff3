"""A look at the tables as they stand: every read of it sees the same rows, and the next look sees what came since."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from unittest.mock import patch

import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from crypto_assets.dates import DAY
from crypto_assets.errors import UsageError, WarehouseError
from crypto_assets.storage import warehouse
from crypto_assets.storage.snapshot import SnapshotWarehouse, warehouse_at
from crypto_assets.storage.sql import query
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES, PRICES
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
        patch(
            "crypto_assets.storage.opened.newest", lambda path, mark, open_table: open_table()
        ),  # each opening counts
        patch.object(warehouse, "DeltaTable", wraps=warehouse.DeltaTable) as opened,
        patch.object(warehouse, "_adds", wraps=warehouse._adds) as listed,
    ):
        for _ in range(3):
            assert look.read("prices", start=START, end=START).height == 24
            assert look.scan("prices", start=START).collect().height == 24
    assert (opened.call_count, listed.call_count) == (1, 1)


def _moment() -> datetime:
    """An instant between two commits: the log counts in milliseconds."""
    time.sleep(0.005)
    found = datetime.now(timezone.utc)
    time.sleep(0.005)
    return found


def test_sql_answers_as_of_an_instant_whatever_was_overwritten_since(tmp_path: Path) -> None:
    written = Warehouse(str(tmp_path / "warehouse"))
    before = _moment()
    written.write(PRICES, rows(START, price=1.0), [START])
    first = _moment()
    written.write(PRICES, rows(START, price=100.0), [START])
    written.write(PRICES, rows(START + DAY, price=1.0), [START + DAY])
    count = "select count(*) n, max(price_usd) p from prices"
    assert query(warehouse_at(written.uri, first), count).row(0) == (24, 24.0)
    assert query(warehouse_at(written.uri, None), count).row(0)[0] == 48
    assert query(warehouse_at(written.uri, _moment()), count).rows() == query(written, count).rows()
    assert query(warehouse_at(written.uri, first), "select count(*) from ohlc").item() == 0
    with pytest.raises(WarehouseError, match="no table existed"):
        query(warehouse_at(written.uri, before), count)


def test_a_version_of_the_features_stands_for_the_instant_of_its_commit(tmp_path: Path) -> None:
    written = Warehouse(str(tmp_path / "warehouse"))
    written.write(PRICES, rows(START, price=1.0), [START])
    time.sleep(0.005)
    written.write(ML_FEATURES, ML_FEATURES.empty(), [START])
    version = written.version("ml_features")
    time.sleep(0.005)
    written.write(PRICES, rows(START, price=100.0), [START])
    assert query(warehouse_at(written.uri, version), "select max(price_usd) from prices").item() == 24.0
    with pytest.raises(WarehouseError, match="no version 99"):
        warehouse_at(written.uri, 99)


def test_the_command_answers_as_of_an_instant_from_an_object_store(bucket: str, tmp_path: Path) -> None:
    """In a process of its own: delta-rs holds Python's lock while it reads a log, and the tests' store is a thread here."""
    written = Warehouse(f"{bucket}/warehouse")
    written.write(PRICES, rows(START, price=1.0), [START])
    first = _moment()
    written.write(PRICES, rows(START, price=100.0), [START])
    env = os.environ | {"CRYPTO_ASSETS_WAREHOUSE": written.uri, "CRYPTO_ASSETS_HOME": str(tmp_path)}
    ask = ["sql", "select max(price_usd) p from prices", "--format", "json", "--as-of", first.isoformat()]
    done = subprocess.run(
        [sys.executable, "-m", "crypto_assets.cli.main", *ask], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"p": 24.0}]


def test_files_that_were_vacuumed_are_said_to_be(tmp_path: Path) -> None:
    written = Warehouse(str(tmp_path / "warehouse"))
    written.write(PRICES, rows(START, price=1.0), [START])
    first = _moment()
    written.write(PRICES, rows(START, price=100.0), [START])
    DeltaTable(written.path("prices")).vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(WarehouseError, match="vacuumed: choose a later --as-of"):
        query(warehouse_at(written.uri, first), "select * from prices")
    with pytest.raises(UsageError):
        query(warehouse_at(written.uri, _moment() - timedelta(0)), "drop table prices")
