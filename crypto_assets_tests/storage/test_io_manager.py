"""The IO manager: a run's days in one write; inputs by day, range and look-back, as the annotation asks."""

from datetime import date
from pathlib import Path

import dagster as dg
import pandas as pd
import polars as pl
import pytest

from crypto_assets.errors import ContractError
from crypto_assets.partitions import DAY, daily
from crypto_assets.storage.io_manager import INPUTS_READ_AT, DeltaIOManager
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets_tests.storage.test_warehouse import rows

CALENDAR = daily(date(2024, 1, 1))
START = date(2024, 1, 1)
SEEN: list[object] = []
BACK = dg.TimeWindowPartitionMapping(start_offset=-2, end_offset=0, allow_nonexistent_upstream_partitions=True)


@dg.asset(partitions_def=CALENDAR, backfill_policy=dg.BackfillPolicy.single_run())
def prices(context: dg.AssetExecutionContext) -> pl.DataFrame:
    return pl.concat(rows(date.fromisoformat(key)) for key in context.partition_keys)


@dg.asset(partitions_def=CALENDAR, backfill_policy=dg.BackfillPolicy.single_run())
def ohlc(prices: pd.DataFrame) -> None:
    SEEN.append(prices)


@dg.asset(
    partitions_def=CALENDAR,
    backfill_policy=dg.BackfillPolicy.single_run(),
    ins={"prices": dg.AssetIn(partition_mapping=BACK, metadata={"columns": ["symbol", "ts"]})},
)
def onchain_base(prices: pl.LazyFrame) -> None:
    SEEN.append(prices)


@dg.asset(partitions_def=CALENDAR, backfill_policy=dg.BackfillPolicy.single_run())
def defi_metrics(prices: pl.DataFrame) -> pl.DataFrame:
    return prices  # another table's columns


@pytest.fixture
def run(tmp_path: Path):
    SEEN.clear()

    def execute(asset: dg.AssetsDefinition, first: date, last: date, **more) -> dg.ExecuteInProcessResult:
        manager = DeltaIOManager(lambda: Warehouse(str(tmp_path / "warehouse")))
        tags = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
        job = dg.Definitions(assets=[prices, ohlc, onchain_base, defi_metrics], resources={"io_manager": manager})
        return (
            job.resolve_implicit_global_asset_job_def()
            .get_subset(asset_selection={asset.key})
            .execute_in_process(tags=tags, raise_on_error=more.get("raise_on_error", True))
        )

    return execute


def test_a_range_in_one_write_with_its_numbers(run, tmp_path: Path) -> None:
    result = run(prices, START, START + DAY * 2)
    events = [event for event in result.all_events if event.is_step_materialization]
    assert [event.partition for event in events] == ["2024-01-01", "2024-01-02", "2024-01-03"]
    metadata = events[0].materialization.metadata
    assert metadata["dagster/row_count"].value == 72
    assert metadata["delta_version"].value == 1
    assert INPUTS_READ_AT not in metadata, "it has no inputs"
    assert Warehouse(str(tmp_path / "warehouse")).version("prices") == 1


def test_inputs_come_as_annotated(run) -> None:
    run(prices, START, START + DAY * 4)
    run(ohlc, START + DAY, START + DAY)
    run(onchain_base, START + DAY * 3, START + DAY * 4)
    day, window = SEEN
    assert isinstance(day, pd.DataFrame)
    assert set(day["date"]) == {START + DAY}
    assert str(day["ts"].dtype) == "datetime64[us, UTC]"
    assert isinstance(window, pl.LazyFrame)
    found = window.collect()
    assert found.columns == ["symbol", "ts"]
    assert (found["ts"].min().date(), found["ts"].max().date()) == (START + DAY, START + DAY * 4)


def test_a_look_back_over_the_first_day_is_legal(run) -> None:
    run(prices, START, START)
    run(onchain_base, START, START)
    assert SEEN[0].collect().height == 24


def test_another_tables_columns_are_refused(run, tmp_path: Path) -> None:
    run(prices, START, START)
    with pytest.raises(ContractError, match="defi_metrics"):
        run(defi_metrics, START, START)
    assert not Warehouse(str(tmp_path / "warehouse")).exists("defi_metrics")
