"""What the store does with ``pit_quality``: equal values keep it, other values take the new one, old files are filled."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from crypto_assets.dates import DAY
from crypto_assets.storage.sql import query
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import PIT_QUALITY
from crypto_assets.tables.schemas import NEWS_ARTICLES, ONCHAIN_BASE, PRICES
from crypto_assets_tests.storage.conftest import Place

FIRST = date(2026, 3, 1)
DAYS = [FIRST, FIRST + DAY]


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def onchain(quality: str | None, *counts: float | None) -> pl.DataFrame:
    rows = [
        {
            "symbol": "BTC", "date": day, "available_at": midnight(day) + timedelta(hours=30), "source": "test",
            "transaction_count": count, PIT_QUALITY: quality,
        }
        for day, count in zip(DAYS, counts, strict=False)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema={name: ONCHAIN_BASE.polars_schema[name] for name in rows[0]})


def stored(warehouse: Warehouse) -> list[str]:
    return warehouse.read(ONCHAIN_BASE)[PIT_QUALITY].to_list()


def test_equal_values_keep_their_quality_and_other_values_lose_it(tmp_path) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.write(ONCHAIN_BASE, onchain("first_seen", 5.0, None), DAYS)
    again = warehouse.write(ONCHAIN_BASE, onchain("backfilled", 5.0, None), DAYS)
    assert not again.changed
    assert stored(warehouse) == ["first_seen", "first_seen"], "the values were not revised"
    warehouse.write(ONCHAIN_BASE, onchain("backfilled", 5.0, 7.0), DAYS)
    assert stored(warehouse) == ["first_seen", "backfilled"], "null became a value"
    warehouse.write(ONCHAIN_BASE, onchain("backfilled", 6.0, 7.0), DAYS)
    assert stored(warehouse) == ["backfilled", "backfilled"]
    assert not warehouse.write(ONCHAIN_BASE, onchain("first_seen", 6.0), DAYS[:1]).changed


def test_days_in_one_write_or_in_many_in_any_order(tmp_path) -> None:
    found = []
    for name, writes in (("one", [DAYS]), ("many", [[day] for day in DAYS]), ("back", [[day] for day in DAYS[::-1]])):
        warehouse = Warehouse(str(tmp_path / name))
        warehouse.write(ONCHAIN_BASE, onchain("first_seen", 5.0), DAYS[:1])
        rows = onchain("backfilled", 5.0, 7.0)
        for days in writes:
            warehouse.write(ONCHAIN_BASE, rows.filter(pl.col("date").is_in(days)), days)
        found.append(warehouse.read(ONCHAIN_BASE))
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])


def test_an_article_keeps_the_quality_of_its_first_fetch(tmp_path) -> None:
    warehouse = Warehouse(str(tmp_path))
    row = {
        "article_id": "a", "date": FIRST, "available_at": midnight(FIRST), "published_at": midnight(FIRST),
        "source": "test", "feed": "f", "title": "T", "symbols": ["BTC"], PIT_QUALITY: "first_seen",
    }  # fmt: skip
    for more in ({}, {"symbols": ["BTC", "ETH"], PIT_QUALITY: "backfilled"}):
        frame = pl.DataFrame([row | more], schema={name: NEWS_ARTICLES.polars_schema[name] for name in row})
        warehouse.write(NEWS_ARTICLES, frame, [FIRST])
    assert warehouse.read(NEWS_ARTICLES).select("symbols", PIT_QUALITY).rows() == [(["BTC", "ETH"], "first_seen")]


def of_an_older_version(warehouse: Warehouse, contract: Contract, rows: pl.DataFrame) -> None:
    """Store rows as a version of the package without the column did."""
    frame = contract.validate(rows).drop(PIT_QUALITY)
    options = warehouse.storage_options
    write_deltalake(warehouse.path(contract.table), frame.to_arrow(), partition_by=["date"], storage_options=options)


@pytest.mark.parametrize(
    ("contract", "expected", "new"), [(ONCHAIN_BASE, "backfilled", "first_seen"), (PRICES, "final", "final")]
)
def test_rows_of_an_older_version_are_read_checked_queried_and_merged(
    place: Place, contract: Contract, expected: str, new: str
) -> None:
    warehouse = Warehouse(place("warehouse"))
    kinds = contract.polars_schema
    given = {
        "symbol": "BTC", "ts": midnight(FIRST), "date": FIRST, "available_at": midnight(FIRST), "source": "test",
        "transaction_count": 5.0, "price_usd": 5.0,
    }  # fmt: skip
    row = {name: cell for name, cell in given.items() if name in kinds}
    frame = pl.DataFrame([row], schema={name: kinds[name] for name in row})
    of_an_older_version(warehouse, contract, frame)
    statement = f"select {PIT_QUALITY} from {contract.table} order by date"

    def everywhere() -> list[list[str]]:
        rows, lazy = warehouse.read(contract), warehouse.scan(contract).sort("date").collect()
        assert contract.violations(rows) == []
        return [f[PIT_QUALITY].to_list() for f in (rows, lazy, query(warehouse, statement))]

    assert everywhere() == [[expected]] * 3
    assert not warehouse.write(contract, frame, [FIRST]).changed, "the same rows make no commit"
    later = {"date": FIRST + DAY} | ({"ts": midnight(FIRST + DAY)} if "ts" in row else {})
    after = pl.DataFrame([row | later | {PIT_QUALITY: new}], schema_overrides=dict(kinds))
    warehouse.write(contract, after.select(*row, PIT_QUALITY), [FIRST + DAY])
    assert everywhere() == [[expected, new]] * 3
    files = DeltaTable(warehouse.path(contract.table), storage_options=warehouse.storage_options)
    assert files.to_pyarrow_table().column(PIT_QUALITY).null_count == 1, "the old file is as it was"
