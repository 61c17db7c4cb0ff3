"""SQL reads the tables by name and reaches nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.errors import CryptoAssetsError, UsageError
from crypto_assets.schemas import CONTRACTS, PRICES
from crypto_assets.storage.sql import query
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.storage.test_warehouse import rows

START = date(2024, 1, 1)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    found = Warehouse(str(tmp_path / "it's a warehouse"))
    found.write(PRICES, rows(START), [START])
    return found


def test_rows_types_and_time_zone(warehouse: Warehouse) -> None:
    frame = query(warehouse, "select date, ts, price_usd, market_cap_usd from prices order by ts desc limit 1")
    assert frame.row(0)[0] == START
    assert str(frame["ts"][0]) == "2024-01-01 23:00:00+00:00"
    assert frame.row(0)[2:] == (123.0, None)


@pytest.mark.parametrize("table", CONTRACTS)
def test_every_table_is_there_even_before_its_first_row(warehouse: Warehouse, table: str) -> None:
    frame = query(warehouse, f"select * from {table}")
    assert frame.columns == CONTRACTS[table].names
    assert frame.height == (24 if table == "prices" else 0)


def test_only_the_newest_snapshot_is_seen(warehouse: Warehouse) -> None:
    warehouse.write(PRICES, rows(START, price=1.0), [START])
    assert query(warehouse, "select count(*) n, max(price_usd) p from prices").row(0) == (24, 24.0)


@pytest.mark.parametrize(
    "statement",
    [
        "insert into prices values (1)",
        "delete from prices",
        "update prices set price_usd = 1",
        "drop view prices",
        "create table x as select 1",
        "copy prices to '/tmp/stolen.csv'",
        "copy (select 1) to '/tmp/stolen.csv'",
        "attach '/tmp/x.db'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma database_list",
        "export database '/tmp/x'",
        "call pragma_version()",
        "select 1; drop view prices",
        "",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "select * from read_parquet('/tmp/*.parquet')",
        "select * from read_json('http://127.0.0.1:1/x')",
        "from nosuch",
        "selec 1",
    ],
)
def test_everything_else_is_one_sentence(warehouse: Warehouse, statement: str) -> None:
    version = warehouse.version("prices")
    with pytest.raises(CryptoAssetsError) as caught:
        query(warehouse, statement)
    assert "\n" not in str(caught.value)
    assert "root:" not in str(caught.value)
    assert warehouse.version("prices") == version
    assert not Path("/tmp/stolen.csv").exists()


def test_getenv_gives_nothing_away(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGECKO_API_KEY", "planted")
    try:
        found = query(warehouse, "select getenv('COINGECKO_API_KEY')")
    except UsageError:
        return
    assert "planted" not in str(found.rows())


def test_a_file_of_the_warehouse_that_is_no_table_is_outside(warehouse: Warehouse, tmp_path: Path) -> None:
    pl.DataFrame({"secret": [1]}).write_parquet(Path(warehouse.uri) / "loose.parquet")
    with pytest.raises(CryptoAssetsError):
        query(warehouse, f"select * from read_parquet('{Path(warehouse.uri)}/loose.parquet')".replace("it's", "it''s"))
