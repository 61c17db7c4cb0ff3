"""Looking past a broken table: it is empty and named, whatever else is asked for."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from crypto_assets.errors import WarehouseError
from crypto_assets.storage.lenient import LenientWarehouse
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

DAY = date(2024, 5, 4)
SENTIMENT, PRICES = CONTRACTS["market_sentiment"], CONTRACTS["prices"]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """A row of sentiment, and one of prices."""
    found = Warehouse(str(tmp_path / "tables"))
    at = datetime(2024, 5, 4, 1, tzinfo=timezone.utc)
    for contract, values in (
        (SENTIMENT, {"fear_greed_index": 50.0}),
        (PRICES, {"symbol": "BTC", "ts": at, "price_usd": 1.0}),
    ):
        cells = {"date": DAY, "available_at": at, "source": "test", **values}
        frame = pl.DataFrame({n: [cells.get(n)] for n in contract.names}, schema=contract.polars_schema)
        found.write(contract, frame, [DAY])
    return found


def test_a_cut_log_and_a_lost_file_are_tables_without_rows(warehouse: Warehouse) -> None:
    log = max(Path(warehouse.path("prices")).glob("_delta_log/*.json"))
    log.write_bytes(log.read_bytes()[:-40])
    next(Path(warehouse.path("market_sentiment")).glob("date=*/*.parquet")).unlink()
    looking = LenientWarehouse(warehouse.uri)
    assert looking.days_with_rows("prices", DAY, DAY) == {}
    assert list(looking.not_readable) == ["prices"]
    assert looking.days_with_rows("market_sentiment", DAY, DAY) == {DAY: 1}, "its log is whole"
    assert looking.read("market_sentiment", columns=["date"]).schema == {"date": pl.Date}
    assert looking.read("market_sentiment").is_empty()
    assert looking.days_with_rows("market_sentiment", DAY, DAY) == {}, "and now it is known to be broken"
    assert all("cannot be read" in why for why in looking.not_readable.values())
    with pytest.raises(WarehouseError):
        warehouse.read("market_sentiment")


def test_what_is_whole_or_was_never_there_is_not_named(warehouse: Warehouse) -> None:
    looking = LenientWarehouse(warehouse.uri)
    assert looking.read("prices").equals(warehouse.read("prices"))
    assert looking.read("ohlc").is_empty()
    assert looking.not_readable == {}


def test_what_is_not_our_table_is_named(warehouse: Warehouse) -> None:
    Path(warehouse.path("ohlc")).write_text("a file")
    write_deltalake(warehouse.path("derivatives"), pl.DataFrame({"date": ["x"]}).to_arrow())
    looking = LenientWarehouse(warehouse.uri)
    for table in ("ohlc", "derivatives"):
        assert looking.days_with_rows(table, DAY, DAY) == {}
        assert looking.read(table).is_empty()
    assert set(looking.not_readable) == {"ohlc", "derivatives"}


def test_trouble_of_the_whole_is_no_table_s(tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("")
    with pytest.raises(WarehouseError, match="not a folder"):
        LenientWarehouse(str(tmp_path / "tables")).read("prices")
