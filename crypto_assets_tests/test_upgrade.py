"""A home in the form of an older version: opened, read, written into, backed up and restored, and nothing is lost.

The form is that of the version before 28 November 2026, written by hand; ``upgrade_drill.py`` does the same with the older code.
"""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

from click.testing import CliRunner
from dagster import AssetKey
from deltalake import DeltaTable, write_deltalake

from crypto_assets.cli.main import cli
from crypto_assets.operate.status import status
from crypto_assets.tables.pit_quality import PIT_QUALITY
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform
from crypto_assets_tests.upgrade_drill import contents, differing, states

NEW_TABLES = ("universe", "set_aside", "funding_rates", "open_interest", "perpetual_bars", "implied_volatility")
NEW_COLUMNS = {"ohlc": ["factor"], "ml_features": ["bars_filled_7d"]}  # and the quality of every table


def as_before(platform: Platform) -> None:
    """Take from a home what the older version did not have."""
    warehouse = Path(platform.settings.warehouse)
    platform.instance.wipe_assets([AssetKey(table) for table in NEW_TABLES])
    for table in NEW_TABLES:
        shutil.rmtree(warehouse / table, ignore_errors=True)
    for folder in warehouse.iterdir():
        if (folder / "_delta_log").is_dir():
            rows = DeltaTable(str(folder)).to_pyarrow_table()
            gone = [name for name in (PIT_QUALITY, *NEW_COLUMNS.get(folder.name, ())) if name in rows.column_names]
            options = {"mode": "overwrite", "schema_mode": "overwrite"}
            write_deltalake(
                str(folder),
                rows.drop_columns(gone),
                partition_by=["date"] if "date" in rows.column_names else None,
                **options,
            )  # type: ignore[call-overload]


def test_a_home_of_an_older_version_is_read_written_and_restored(filled: Platform, tmp_path: Path) -> None:
    filled.activate()
    span, home = (scenario.START, scenario.END), Path(filled.settings.home)
    was = states(status(filled.instance, filled.settings, *span))
    as_before(filled)
    before = contents(home)
    assert PIT_QUALITY not in before["prices"]["columns"]
    columns = {name: table["columns"] for name, table in before.items()}
    now = states(status(filled.instance, filled.settings, *span))
    assert {name: one for name, one in now.items() if name not in NEW_TABLES} == {
        name: one for name, one in was.items() if name not in NEW_TABLES
    }
    assert {now[name] for name in NEW_TABLES if name in now} == {(0, 0)}

    # One day is written: what is stored of the others is as it was, with the new columns beside it.
    assert filled.backfill(scenario.END, scenario.END).ok
    after = contents(home, columns)
    assert {name: table["rows"] for name, table in before.items() if after[name]["rows"] < table["rows"]} == {}
    day = scenario.END - timedelta(days=1)
    assert filled.warehouse.read("prices", start=day, end=day)[PIT_QUALITY].null_count() == 0
    whole = states(status(filled.instance, filled.settings, *span))
    assert {name: one[0] for name, one in whole.items() if name not in NEW_TABLES} == {
        name: one[0] for name, one in was.items() if name not in NEW_TABLES
    }

    # Backed up and restored into an empty home: the same contents, and the same status with the same database.
    backup = str(tmp_path / "backup")
    assert CliRunner().invoke(cli, ["backup", "--to", backup]).exit_code == 0
    restored = tmp_path / "restored"
    filled.monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(restored))
    filled.monkeypatch.delenv("CRYPTO_ASSETS_WAREHOUSE", raising=False)
    assert CliRunner().invoke(cli, ["restore", "--from", backup]).exit_code == 0
    assert differing(contents(home), contents(restored)) == {}
