"""A run over a range reports its checks day by day, as the instance's event log has them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import dagster as dg
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance, DagsterRunStatus, EventLogEntry, RunsFilter
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
    AssetCheckExecutionResolvedStatus,
)
from dagster._core.storage.event_log.base import PartitionKeyFilter

from crypto_assets.assets.shell import DAILY
from crypto_assets.automation.staleness import newest_metadata
from crypto_assets.checks.by_day import judges_days
from crypto_assets.checks.shells import every_measure
from crypto_assets.dagster_internals.core import newest_materialisations
from crypto_assets.dates import DAY, days
from crypto_assets.definitions import defs
from crypto_assets.operate import runs
from crypto_assets.operate.status import status
from crypto_assets.runtime.event_log import BatchingPostgresEventLogStorage
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform

START, END = scenario.START, scenario.END
GAP_DAY = date(2021, 3, 3)  # three of BTC's bars are not there
TABLES = ["ohlc", "onchain_base", "onchain_enhanced", "market_sentiment"]
GOOD, BAD = AssetCheckExecutionResolvedStatus.SUCCEEDED, AssetCheckExecutionResolvedStatus.FAILED
NEVER_MADE = AssetCheckExecutionResolvedStatus.EXECUTION_FAILED


def key(table: str, check: str) -> AssetCheckKey:
    return AssetCheckKey(AssetKey(table), check)


def history(
    instance: DagsterInstance, table: str, check: str, partition: date | None
) -> list[AssetCheckExecutionRecord]:
    """Every report of the check for the day, or for no day, the newest first."""
    wanted = PartitionKeyFilter(key=partition.isoformat() if partition else None)
    return list(
        instance.event_log_storage.get_asset_check_execution_history(
            key(table, check), limit=20, partition_filter=wanted
        )
    )


def reported(instance: DagsterInstance, table: str, check: str, partition: date | None) -> Any:
    """The one report of the check for the day, or for no day."""
    (record,) = history(instance, table, check, partition)
    assert record.evaluation is not None
    return record.evaluation


def overall(instance: DagsterInstance, table: str, check: str) -> Any:
    """What the UI shows for the check as a whole: the newest report, of whatever partition."""
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key([key(table, check)])
    return found[key(table, check)].evaluation


def by_status(instance: DagsterInstance, table: str, check: str) -> dict[AssetCheckExecutionResolvedStatus, set[str]]:
    """Status -> days, as the check's page asks for them."""
    asked = [(key(table, check), DAILY)]
    (state,) = instance.event_log_storage.get_asset_check_state(asked).values()
    found = {known: set(subset.subset_value.get_partition_keys()) for known, subset in state.subsets.items()}
    return {known: names for known, names in found.items() if names}


def test_every_day_of_a_run_has_its_own_report(platform: Platform) -> None:
    assert platform.backfill(START, END, tables=TABLES).ok
    wanted = days(START, END)
    newest = newest_materialisations(platform.instance, AssetKey("ohlc"), map(str, wanted))
    rows = {day: found["dagster/row_count"].value for day, found in newest_metadata(
        platform.instance, "ohlc", START, END).items()}  # fmt: skip
    for day in wanted:
        report = reported(platform.instance, "ohlc", "rows_expected", day)
        assert report.partition == day.isoformat()
        assert report.metadata["rows"].value == rows[day], "the day's own rows"
        assert report.target_materialization_data.storage_id == newest[str(day)].storage_id, (
            "of its own materialisation"
        )
    assert sum(rows.values()) == platform.read("ohlc").height
    whole = reported(platform.instance, "ohlc", "rows_expected", None)
    assert whole.metadata["rows"].value == sum(rows.values()), "and one report of the range"


def test_a_day_that_fails_is_shown_on_that_day_and_the_table_by_the_range(platform: Platform) -> None:
    assert platform.backfill(START, END, tables=TABLES).ok
    found = by_status(platform.instance, "ohlc", "rows_expected")
    assert found == {BAD: {str(GAP_DAY)}, GOOD: {str(day) for day in days(START, END) if day != GAP_DAY}}
    bad = reported(platform.instance, "ohlc", "rows_expected", GAP_DAY)
    assert not bad.passed and "BTC 3" in bad.description
    whole = overall(platform.instance, "ohlc", "rows_expected")
    assert whole.partition is None and whole.passed, "98 % of the range's bars are there, as status says"
    document = status(platform.instance, platform.settings, START, END)
    assert document["assets"]["ohlc"]["checks"]["rows_expected"]["passed"]


@pytest.mark.parametrize("table", TABLES)
def test_a_days_report_says_what_status_says_of_that_day(platform: Platform, table: str) -> None:
    """One measure: it is asked about a day by two readers."""
    assert platform.backfill(START, END, tables=TABLES).ok
    for day in days(START, END):
        said = status(platform.instance, platform.settings, day, day)["assets"][table]["checks"]
        for check in (name for name in every_measure()[table] if judges_days(table, name)):
            report = reported(platform.instance, table, check, day)
            assert (report.passed, report.severity.value, report.description) == (
                said[check]["passed"], said[check]["severity"], said[check]["description"],
            ), (check, day)  # fmt: skip


def test_a_structure_that_is_broken_on_one_day_is_that_days(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that comes later than the rows: only the day whose rows break it fails, and the range with it."""
    from crypto_assets.checks import by_day
    from crypto_assets.checks.measures import contract_outcome

    def measure(scope: Any) -> Any:
        odd = scope.warehouse.read("ohlc", start=scope.start, end=scope.end, columns=["date"])
        broken = [f"no bar may be of {GAP_DAY}"] if GAP_DAY in set(odd["date"]) else []
        return contract_outcome(broken, odd.height)

    assert platform.backfill(START, END, tables=["ohlc"]).ok
    from crypto_assets.checks.shells import scope_of

    tags = {"dagster/asset_partition_range_start": str(START), "dagster/asset_partition_range_end": str(END)}
    whole, each = by_day.judge("ohlc", "contract", measure, scope_of(tags, platform.settings))
    assert not whole.passed
    assert [day for day, outcome in each.items() if not outcome.passed] == [GAP_DAY]


def test_a_day_whose_run_failed_has_no_report_and_a_repair_gives_it_one(platforms: Any) -> None:
    broken = platforms(fault="route=fng,status=403,rate=1")
    assert not broken.backfill(START, START + DAY, tables=["market_sentiment"]).ok
    found = by_status(broken.instance, "market_sentiment", "rows_expected")
    assert found == {NEVER_MADE: {str(START), str(START + DAY)}}
    mended = platforms()
    mended.instance = broken.instance
    mended.env["CRYPTO_ASSETS_HOME"] = broken.env["CRYPTO_ASSETS_HOME"]
    assert mended.backfill(START, START, tables=["market_sentiment"]).ok
    found = by_status(broken.instance, "market_sentiment", "rows_expected")
    assert found[GOOD] == {str(START)} and found[NEVER_MADE] == {str(START + DAY)}


def test_a_tick_of_one_day_reports_the_day_and_the_table(platform: Platform) -> None:
    platform.activate()
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection={AssetKey("market_sentiment")})
    result = job.execute_in_process(instance=platform.instance, partition_key=str(START))
    assert result.success
    (first,) = history(platform.instance, "market_sentiment", "rows_expected", START)
    assert first.status == AssetCheckExecutionRecordStatus.SUCCEEDED
    assert overall(platform.instance, "market_sentiment", "rows_expected").partition is None


def test_a_check_of_the_table_reports_once_and_leaves_nothing_planned(platform: Platform) -> None:
    """Dagster plans a row for each partition of the run; none of them is ever filled."""
    assert platform.backfill(START, END, tables=["market_sentiment"]).ok
    assert not judges_days("market_sentiment", "fresh")
    found = platform.instance.event_log_storage.get_asset_check_execution_history(
        key("market_sentiment", "fresh"), limit=20
    )
    assert [record.partition for record in found] == [None]
    assert found[0].evaluation is not None


def test_the_reports_of_a_step_are_written_together(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the days and of the ranges of all its checks, by one call of the storage."""
    written: list[set[str | None]] = []
    stock = BatchingPostgresEventLogStorage.store_event_batch

    def watched(storage: BatchingPostgresEventLogStorage, events: Sequence[EventLogEntry]) -> None:
        if {event.dagster_event_type for event in events} == {dg.DagsterEventType.ASSET_CHECK_EVALUATION}:
            found = [event.get_dagster_event().asset_check_evaluation_data for event in events]
            assert {report.check_name for report in found} == set(every_measure()["ohlc"])
            written.append({report.partition for report in found})
        stock(storage, events)

    monkeypatch.setattr(BatchingPostgresEventLogStorage, "store_event_batch", watched)
    assert platform.backfill(START, END, tables=["ohlc"]).ok
    assert written == [{*map(str, days(START, END)), None}]


def test_times_are_times(platform: Platform) -> None:
    assert platform.backfill(START, START, tables=["ohlc"]).ok
    report = reported(platform.instance, "ohlc", "fresh_partitions", START)
    moment = report.metadata["newest_available_at"]
    assert isinstance(moment, dg.TimestampMetadataValue)
    assert datetime.fromtimestamp(moment.value, scenario.SPIKE.tzinfo).date() == START + DAY, "the last bar's close"


def test_a_look_between_ticks_needs_no_partition(platform: Platform) -> None:
    """The job of checks that runs every 15 minutes has no days; its checks judge tables."""
    assert platform.backfill(START, START, tables=["market_sentiment"]).ok
    result = defs.resolve_job_def("look").execute_in_process(instance=platform.instance, raise_on_error=False)
    assert {found.partition for found in result.get_asset_check_evaluations()} == {None}
    assert not platform.instance.get_runs(RunsFilter(job_name="look", statuses=[DagsterRunStatus.FAILURE]))


def test_rows_that_appear_while_a_step_judges_are_the_next_steps(platform: Platform) -> None:
    """Days and range are judged at one version of the table, also where days are read one by one."""
    from crypto_assets.checks.by_day import judge
    from crypto_assets.checks.shells import scope_of

    assert platform.backfill(START, START, tables=["market_sentiment"]).ok
    tags = {"dagster/asset_partition_range_start": str(START), "dagster/asset_partition_range_end": str(START + DAY)}
    scope = scope_of(tags, platform.settings)
    measure = every_measure()["market_sentiment"]["rows_expected"]
    assert not measure(scope).passed
    runs.execute(platform.instance, ["market_sentiment"], START + DAY, START + DAY)
    _, each = judge("market_sentiment", "rows_expected", measure, scope)
    assert [outcome.passed for outcome in each.values()] == [True, False]
    _, later = judge("market_sentiment", "rows_expected", measure, scope_of(tags, platform.settings))
    assert [outcome.passed for outcome in later.values()] == [True, True]


def test_days_before_the_first_partition_have_no_report_and_leave_nothing_planned(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history that a demo fetches: its home's calendar begins later, while the process of the demo reaches it."""
    monkeypatch.setitem(platform.env, "CRYPTO_ASSETS_START", str(START + DAY))
    assert platform.backfill(START, START + DAY, tables=["market_sentiment"]).ok
    assert history(platform.instance, "market_sentiment", "rows_expected", START) == []
    assert reported(platform.instance, "market_sentiment", "rows_expected", START + DAY).passed
    assert reported(platform.instance, "market_sentiment", "rows_expected", None).metadata["rows"].value == 2
