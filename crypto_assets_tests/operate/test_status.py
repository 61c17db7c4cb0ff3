"""``status`` says the same whether Dagster was asked or not, and does not load Dagster where it need not ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import date, datetime, timezone
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from dagster import AssetKey, AssetMaterialization

from crypto_assets.checks import parts
from crypto_assets.dagster_internals.known_states import known_states
from crypto_assets.dates import DAY
from crypto_assets.operate import graph
from crypto_assets.operate.status import BY_DAY, status
from crypto_assets.storage import range_in_memory
from crypto_assets.storage.range_in_memory import RangeInMemory
from crypto_assets.storage.snapshot import SnapshotWarehouse
from crypto_assets.tables.contract import Contract
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform, open_platform

START, END = scenario.START, scenario.END
WHAT_IS_LOADED = "import sys; from crypto_assets.cli.entry import main\ntry: main()\nfinally: print('dagster' in sys.modules, file=sys.stderr)"


def test_it_has_the_tables_that_a_run_can_fill() -> None:
    assert sorted(BY_DAY) == sorted(graph.tables())


def test_it_says_the_same_without_dagster(filled: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    home, fault = filled.settings.home, "route=fng,status=403,rate=1"
    with open_platform(filled.instance, home, home / "recording", monkeypatch, fault) as broken:
        assert not broken.backfill(START, START + DAY, tables=["market_sentiment"]).ok
    now = datetime.now(timezone.utc)
    asked = status(filled.instance, filled.settings, START, END, now=now)
    states = known_states(os.environ["DAGSTER_POSTGRES_URL"], BY_DAY)
    assert states is not None
    assert status(states, filled.settings, START, END, now=now) == asked
    assert asked["assets"]["market_sentiment"]["partitions"] == {"expected": 6, "materialized": 4, "failed": 2}
    assert asked["assets"]["ohlc"]["partitions"] == {"expected": 6, "materialized": 6, "failed": 0}


@pytest.mark.parametrize("span", [(START, END), (scenario.LATE_DAY, scenario.LATE_DAY), (START - DAY * 9, START + DAY)])
def test_days_in_memory_change_nothing_and_are_read_once(
    filled: Platform, span: tuple[date, date], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2021, 3, 7, 3, tzinfo=timezone.utc)
    with patch.object(pl, "scan_parquet", wraps=pl.scan_parquet) as scanned:
        held = status(filled.instance, filled.settings, *span, now=now)
    scans, opened = scanned.call_count, [path for call in scanned.call_args_list for path in call.args[0]]
    assert max(Counter(opened).values()) <= 2, (
        "once with all days of the table, and once for what is read of sampled days"
    )
    monkeypatch.setattr(range_in_memory, "CELLS_HELD", 0)
    with patch.object(pl, "scan_parquet", wraps=pl.scan_parquet) as scanned:
        assert status(filled.instance, filled.settings, *span, now=now) == held
    assert scanned.call_count > 3 * scans


def test_a_long_range_is_read_in_parts_and_says_the_same(filled: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2021, 3, 7, 3, tzinfo=timezone.utc)
    whole = status(filled.instance, filled.settings, START, END, now=now)
    longest: Counter[str] = Counter()
    read = SnapshotWarehouse.read

    def spying(warehouse: SnapshotWarehouse, table: Contract | str, **asked: Any) -> pl.DataFrame:
        found = read(warehouse, table, **asked)
        name = table if isinstance(table, str) else table.table
        if asked.get("start", START) >= START:  # what is fresh and which coins are kept rests on a fixed number of days
            longest[name] = max(longest[name], found.height)
        return found

    monkeypatch.setattr(range_in_memory, "CELLS_HELD", 0)
    monkeypatch.setattr(parts, "CELLS_AT_ONCE", 1)  # a day at a time
    monkeypatch.setattr(RangeInMemory, "read", spying)
    assert status(filled.instance, filled.settings, START, END, now=now) == whole
    for table in ("ml_features", "perpetual_bars", "open_interest", "funding_rates"):
        rows = SnapshotWarehouse(filled.settings.warehouse).days_with_rows(table, START, END)
        assert 0 < longest[table] <= 3 * max(rows.values()) < sum(rows.values()), (
            f"{table}: the newest day and two before it"
        )


def test_the_command_loads_dagster_only_where_something_happened(filled: Platform) -> None:
    def loads_dagster() -> bool:
        arguments = ["status", "--start", str(START), "--end", str(END), "--json"]
        environment = {**os.environ, **filled.env}
        done = subprocess.run(
            [sys.executable, "-c", WHAT_IS_LOADED, *arguments], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["assets"]["ohlc"]["partitions"]["materialized"] > 0
        return done.stderr.strip().splitlines()[-1] == "True"

    loads_dagster()  # keeps what it says
    assert not loads_dagster()
    filled.instance.report_runless_asset_event(AssetMaterialization(AssetKey("ohlc"), partition=str(START + DAY * 2)))
    assert [loads_dagster(), loads_dagster()] == [True, False]
