"""Rows of a sandbox and rows of real providers are never in one table: refused, and nothing written."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.demo_home import DemoHome
from crypto_assets.errors import ContractError
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse, of_settings
from crypto_assets.tables.schemas import CONTRACTS, MARKET_SENTIMENT

DAYS = [date(2026, 1, 1), date(2026, 1, 2)]
TVL = CONTRACTS["defi_metrics"]


def sentiment(source: str, day: date = DAYS[0]) -> pl.DataFrame:
    known = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    row = {"date": day, "available_at": known, "source": source, "fear_greed_index": 40.0}
    return pl.DataFrame([row]).cast({"available_at": pl.Datetime("us", "UTC")})


def tvl(source: str) -> pl.DataFrame:
    frame = sentiment(source).drop("fear_greed_index")
    return frame.with_columns(entity=pl.lit("all"), tvl_usd=pl.lit(1.0))


def stored(warehouse: Warehouse) -> dict[str, str]:
    return {table: warehouse.content_hash(table) for table in (MARKET_SENTIMENT.table, TVL.table)}


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ("alternative_me", "sandbox/alternative_me", "real providers'"),
        ("sandbox/alternative_me", "alternative_me", "a sandbox's"),
        ("sandbox-replay/alternative_me", "alternative_me", "a sandbox's"),
    ],
)
def test_a_table_takes_rows_of_one_origin_only(tmp_path: Path, first: str, second: str, kind: str) -> None:
    warehouse = Warehouse(str(tmp_path / "w"))
    warehouse.write(MARKET_SENTIMENT, sentiment(first), DAYS[:1])
    before, version = stored(warehouse), warehouse.version(MARKET_SENTIMENT.table)
    for day in DAYS:  # the day that has rows, and another one
        with pytest.raises(ContractError, match=rf"rows from {second} cannot go .* for {kind} rows.*--home NEW"):
            warehouse.write(MARKET_SENTIMENT, sentiment(second, day), [day])
    assert stored(warehouse) == before
    assert warehouse.version(MARKET_SENTIMENT.table) == version, "no commit was made"
    warehouse.write(MARKET_SENTIMENT, sentiment(first, DAYS[1]), DAYS[1:])


def test_one_provider_may_be_a_sandbox_where_the_others_are_not(tmp_path: Path) -> None:
    """Base addresses are set one by one: each table has one origin, in a home that is no demo's."""
    warehouse = Warehouse(str(tmp_path))
    warehouse.write(MARKET_SENTIMENT, sentiment("alternative_me"), DAYS[:1])
    warehouse.write(TVL, tvl("sandbox/defillama"), DAYS[:1])
    assert warehouse.origins() == {"live": "alternative_me", "sandbox": "sandbox/defillama"}
    with pytest.raises(ContractError, match="rows from defillama cannot go"):
        warehouse.write(TVL, tvl("defillama"), DAYS[:1])
    with pytest.raises(ContractError, match="rows from sandbox/alternative_me cannot go"):
        warehouse.write(MARKET_SENTIMENT, sentiment("sandbox/alternative_me"), DAYS[:1])
    demo = Warehouse(str(tmp_path / "demo"), accepts="sandbox")
    demo.write(TVL, tvl("sandbox/defillama"), DAYS[:1])
    with pytest.raises(ContractError, match="rows from alternative_me cannot go"):
        demo.write(MARKET_SENTIMENT, sentiment("alternative_me"), DAYS[:1])
    assert not demo.exists(MARKET_SENTIMENT.table)


def test_one_write_of_both_is_refused(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    both = pl.concat([sentiment("alternative_me", DAYS[0]), sentiment("sandbox/alternative_me", DAYS[1])])
    with pytest.raises(ContractError, match="nothing was written"):
        warehouse.write(MARKET_SENTIMENT, both, DAYS)
    assert not warehouse.exists(MARKET_SENTIMENT.table)


def test_a_demos_home_takes_no_live_row_from_its_first_write_on(tmp_path: Path) -> None:
    DemoHome(7, None, "BTC", DAYS[0]).write(tmp_path)
    warehouse = of_settings(Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path)}))
    with pytest.raises(
        ContractError, match=r"rows from alternative_me cannot go .* a sandbox's rows \(a demo's home\)"
    ):
        warehouse.write(MARKET_SENTIMENT, sentiment("alternative_me"), DAYS[:1])
    assert not warehouse.exists(MARKET_SENTIMENT.table)
    warehouse.write(MARKET_SENTIMENT, sentiment("sandbox/alternative_me"), DAYS[:1])


def test_an_ordinary_home_takes_what_its_first_rows_are(tmp_path: Path) -> None:
    for kind, source in (("a", "alternative_me"), ("b", "sandbox/alternative_me")):
        warehouse = of_settings(Settings.from_env({"CRYPTO_ASSETS_HOME": str(tmp_path / kind)}))
        assert warehouse.origins() == {}
        warehouse.write(MARKET_SENTIMENT, sentiment(source), DAYS[:1])
        assert list(warehouse.origins().values()) == [source]


def test_rows_that_follow_their_inputs_decide_nothing(tmp_path: Path) -> None:
    """A derived row of a day without any input says 'derived' in a sandbox's home as well."""
    warehouse = Warehouse(str(tmp_path), accepts="sandbox")
    for source, day in zip(("derived", "sandbox/derived"), DAYS, strict=True):
        warehouse.write(MARKET_SENTIMENT, sentiment(source, day), [day])
    assert warehouse.origins() == {}


def test_the_origin_of_many_files_is_found_without_reading_one(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    for day in DAYS:
        warehouse.write(MARKET_SENTIMENT, sentiment("alternative_me", day), [day])
    for path in tmp_path.glob("*/date=*/*.parquet"):
        path.unlink()
    assert warehouse.origins() == {"live": "alternative_me"}
