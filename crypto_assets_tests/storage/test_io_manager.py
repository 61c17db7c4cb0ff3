"""The IO manager: a run's days in one write; inputs by day, range and look-back, as the annotation asks."""

import time
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.assets.calendar import daily
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import ContractError
from crypto_assets.storage.io_manager import INPUTS_READ_AT, LOOK_BACK_DAYS, DeltaIOManager
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.storage.test_warehouse import articles, rows

START = date(2024, 1, 1)
SHELL: dict[str, Any] = {"partitions_def": daily(START), "backfill_policy": dg.BackfillPolicy.single_run()}
BACK = dg.TimeWindowPartitionMapping(start_offset=-2, end_offset=0, allow_nonexistent_upstream_partitions=True)
SEEN: list[object] = []
T = TypeVar("T")


@dg.asset(**SHELL)
def prices(context: dg.AssetExecutionContext) -> pl.DataFrame:
    return pl.concat(rows(date.fromisoformat(key)) for key in context.partition_keys)


@dg.asset(**SHELL)
def news_articles(context: dg.AssetExecutionContext) -> pd.DataFrame:
    days = [date.fromisoformat(key) for key in context.partition_keys]
    return pl.concat(articles(day, "a" if day == START else f"{day}") for day in days).to_pandas()


@dg.asset(**SHELL)
def ohlc(prices: pd.DataFrame) -> None:
    SEEN.append(prices)


@dg.asset(
    **SHELL, ins={"prices": dg.AssetIn(partition_mapping=BACK, metadata={"columns": ["price_usd", "symbol", "ts"]})}
)
def onchain_base(prices: pl.LazyFrame) -> None:
    SEEN.append(prices)


@dg.asset(
    partitions_def=daily(START + DAY * 3),
    backfill_policy=dg.BackfillPolicy.single_run(),
    ins={"prices": dg.AssetIn(partition_mapping=BACK, metadata={LOOK_BACK_DAYS: 2})},
)
def theme_trends(prices: pl.DataFrame) -> None:
    SEEN.append(prices)


@dg.asset(**SHELL)
def onchain_enhanced(prices: pl.DataFrame) -> None:
    SEEN.append(prices)


@dg.asset(**SHELL)
def narratives(news_articles) -> None:  # type: ignore[no-untyped-def]
    SEEN.append(news_articles)


@dg.asset  # no partitions: it sees every day of what it reads
def quarantine(prices: pl.DataFrame) -> None:
    SEEN.append(prices)


@dg.asset(**SHELL)
def defi_metrics(prices: pl.DataFrame) -> pl.DataFrame:
    return prices  # another table's columns


@dg.asset(**SHELL)
def market_sentiment(prices: pl.DataFrame) -> pl.DataFrame:
    """The first mark of each day, as the index of that day; 100 + n, of which only 100 is within bounds."""
    first = prices.group_by("date").agg(pl.col("available_at", "source").first())
    level = 99.0 + first["date"].dt.day()
    return first.with_columns(fear_greed_index=level)


@dg.asset(**SHELL)
def ml_features() -> list[int]:
    return [1, 2, 3]


@dg.asset(**SHELL)
def kraken_ohlc(context: dg.AssetExecutionContext) -> pl.DataFrame:
    """Bars of every day but 2 January."""
    found = [rows(date.fromisoformat(key)) for key in context.partition_keys if key != "2024-01-02"]
    prices = pl.concat(found).drop("market_cap_usd", "volume_24h_usd", strict=False)
    bar = {name: pl.col("price_usd") for name in ("open", "high", "low", "close")}
    return prices.with_columns(**bar, volume=pl.lit(1.0)).drop("price_usd")


@dg.asset(**SHELL)
def nobodys_table() -> pl.DataFrame:
    return rows(START)


ASSETS = [
    prices,
    news_articles,
    ohlc,
    kraken_ohlc,
    theme_trends,
    onchain_base,
    onchain_enhanced,
    narratives,
    quarantine,
]
ASSETS += [defi_metrics, market_sentiment, ml_features, nobodys_table]


class Runner:
    """Materialises one asset for a range of days in one run, in a warehouse of its own."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(str(folder))

    def __call__(self, asset: dg.AssetsDefinition, first: date = START, last: date | None = None) -> list[Any]:
        """The run's materialisations."""
        days = {"start": str(first), "end": str(last or first)}
        tags = {f"dagster/asset_partition_range_{end}": day for end, day in days.items()}
        definitions = dg.Definitions(
            assets=ASSETS, resources={"io_manager": DeltaIOManager(lambda: Warehouse(self.warehouse.uri))}
        )
        job = definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection={asset.key})
        result = job.execute_in_process(tags=tags if asset.partitions_def else None)
        return [event.materialization for event in result.all_events if event.is_step_materialization]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    SEEN.clear()
    yield Runner(tmp_path / "warehouse")


def seen(kind: type[T]) -> T:
    """The one input that an asset got, of the annotated type and no other."""
    (found,) = SEEN
    assert isinstance(found, kind)
    return found


def values(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items()}


def test_a_range_in_one_write_and_each_day_with_its_own_numbers(run: Runner) -> None:
    found = run(prices, START, START + DAY * 2)
    assert [one.partition for one in found] == ["2024-01-01", "2024-01-02", "2024-01-03"]
    files = dict(run.warehouse.files("prices").select("day", "bytes").rows())
    for day, one in zip(days(START, START + DAY * 2), found, strict=True):
        numbers = values(one.metadata)
        names = ("dagster/row_count", "delta_version", "changed", "first", "last", "bytes")
        assert {name: numbers[name] for name in names} == {
            "dagster/row_count": 24,
            "delta_version": 1,
            "changed": True,
            "first": midnight(day).timestamp(),
            "last": (midnight(day + DAY) - timedelta(hours=1)).timestamp(),
            "bytes": files[day],
        }
        assert isinstance(one.metadata["first"], dg.TimestampMetadataValue), "a time, not a number"
        known = run.warehouse.read("prices", start=day, end=day)["available_at"].max()
        assert isinstance(known, datetime)
        assert numbers["newest_available_at"] == known.timestamp()
        assert numbers["null_shares"] == {"price_usd": 0.0, "market_cap_usd": 1.0, "volume_24h_usd": 1.0}
        assert INPUTS_READ_AT not in numbers, "it has no inputs"
    assert run.warehouse.version("prices") == 1


def test_a_day_without_rows_and_a_day_that_stays_say_so(run: Runner) -> None:
    """Of a run over three days one is new, one has no rows, and one is as it was."""
    run(kraken_ohlc, START, START)
    found = {one.partition: values(one.metadata) for one in run(kraken_ohlc, START, START + DAY * 2)}
    empty = found["2024-01-02"]
    assert (empty["dagster/row_count"], empty["changed"], empty["null_shares"], empty["bytes"]) == (0, False, {}, 0)
    assert not {"first", "last", "newest_available_at"} & set(empty), "no row has a time"
    assert [found[f"2024-01-0{n}"]["changed"] for n in (1, 3)] == [False, True]
    assert [found[f"2024-01-0{n}"]["dagster/row_count"] for n in (1, 3)] == [24, 24]


def test_a_table_of_days_has_no_times_of_rows(run: Runner) -> None:
    run(prices)
    (done,) = run(market_sentiment)
    numbers = values(done.metadata)
    assert numbers["dagster/row_count"] == 1 and {"first", "last"}.isdisjoint(numbers)
    assert numbers["newest_available_at"] > 0


def test_one_day_and_the_same_again(run: Runner) -> None:
    (first,), (second,) = run(prices), run(prices)
    assert (values(first.metadata)["changed"], values(second.metadata)["changed"]) == (True, False)
    assert values(second.metadata)["dagster/row_count"] == 24
    assert run.warehouse.version("prices") == 1


def test_pandas_comes_for_the_runs_own_days(run: Runner) -> None:
    run(prices, START, START + DAY * 4)
    run(ohlc, START + DAY, START + DAY * 2)
    frame = seen(pd.DataFrame)
    assert set(frame["date"]) == {START + DAY, START + DAY * 2}
    assert len(frame) == 48
    assert str(frame["ts"].dtype) == "datetime64[us, UTC]"
    assert list(frame.columns) == CONTRACTS["prices"].names
    assert frame["market_cap_usd"].isna().all()


def test_a_lazy_frame_comes_with_its_look_back_and_its_columns_only(run: Runner) -> None:
    run(prices, START, START + DAY * 4)
    run(onchain_base, START + DAY * 3, START + DAY * 3)
    frame = seen(pl.LazyFrame).collect()
    assert frame.columns == ["symbol", "ts", "price_usd"], "in the contract's order"
    assert frame.height == 3 * 24
    ts = frame["ts"].dt.date()
    assert (ts.min(), ts.max()) == (START + DAY, START + DAY * 3)


def test_a_polars_frame_comes_as_it_is_stored(run: Runner) -> None:
    run(prices, START, START + DAY)
    run(onchain_enhanced, START + DAY, START + DAY)
    assert_frame_equal(seen(pl.DataFrame), run.warehouse.read("prices", start=START + DAY))


def test_without_an_annotation_pandas_comes_with_plain_lists_and_days(run: Runner) -> None:
    run(news_articles, START, START + DAY)
    run(narratives, START, START + DAY)
    frame = seen(pd.DataFrame)
    assert list(frame["symbols"]) in ([["BTC", "ETH"], []], [[], ["BTC", "ETH"]])
    assert {type(day) for day in frame["date"]} == {date}
    assert not isinstance(frame["date"].iloc[0], datetime)


def test_an_asset_without_partitions_sees_every_day(run: Runner) -> None:
    run(prices, START + DAY, START + DAY * 3)
    run(quarantine)
    assert seen(pl.DataFrame)["date"].unique().sort().to_list() == [START + DAY * n for n in (1, 2, 3)]


def test_a_look_back_over_the_first_day_is_legal(run: Runner) -> None:
    run(prices)
    run(onchain_base)
    assert seen(pl.LazyFrame).collect().height == 24


def test_a_look_back_reads_what_is_stored_before_the_first_partition(run: Runner) -> None:
    """A calendar that begins later changes no value: what its partitions look back into was stored before."""
    warehouse = run.warehouse
    warehouse.write(
        CONTRACTS["prices"], pl.concat(rows(START + DAY * n) for n in range(5)), [START + DAY * n for n in range(5)]
    )
    run(theme_trends, START + DAY * 3, START + DAY * 4)
    assert seen(pl.DataFrame)["date"].unique().sort().to_list() == [START + DAY * n for n in (1, 2, 3, 4)]


def test_an_input_that_was_never_written_is_no_rows(run: Runner) -> None:
    run(onchain_enhanced)
    assert_frame_equal(seen(pl.DataFrame), CONTRACTS["prices"].empty())


def test_the_moment_of_reading_is_kept_with_the_output(run: Runner) -> None:
    """It lies after the inputs' write and before the own one: that is how a stale table is found."""
    run(prices)
    written = run.warehouse.written_at("prices", START, START)[START]
    (done,) = run(market_sentiment)
    moment = values(done.metadata)[INPUTS_READ_AT]
    own = run.warehouse.written_at("market_sentiment", START, START)[START]
    assert written - 0.01 <= moment <= own <= time.time()


def test_a_range_that_breaks_its_contract_writes_none_of_its_days(run: Runner) -> None:
    run(prices, START, START + DAY)
    with pytest.raises(ContractError, match=r"fear_greed_index breaks .* in 1 row\(s\), e\.g\. 101"):
        run(market_sentiment, START, START + DAY)
    assert not run.warehouse.exists("market_sentiment")
    run(market_sentiment)
    assert run.warehouse.read("market_sentiment")["fear_greed_index"].to_list() == [100.0]


def test_another_tables_columns_are_refused(run: Runner) -> None:
    run(prices)
    with pytest.raises(ContractError, match="defi_metrics"):
        run(defi_metrics)
    assert not run.warehouse.exists("defi_metrics")


@pytest.mark.parametrize(
    ("asset", "words"), [(ml_features, "gave list, not a frame"), (nobodys_table, "nobodys_table has no contract")]
)
def test_what_is_no_frame_or_no_table_is_refused(run: Runner, asset: dg.AssetsDefinition, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        run(asset)
    assert not Path(run.warehouse.uri).exists()
