"""Backfills: what fails is named, what could be had is kept, what became stale is refreshed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.automation.staleness import last_affected_day, stale_days
from crypto_assets.dates import DAY, days
from crypto_assets.features.all_features import GROUPS
from crypto_assets.operate import graph, runs
from crypto_assets.operate.backfill import partition_statuses
from crypto_assets.tables.registry import LOOK_BACK
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform, with_inputs

START, END = scenario.START, scenario.END
SOURCES = ("prices", "ohlc", "onchain_base", "defi_metrics", "market_sentiment", "news_articles")


def test_one_provider_down_leaves_the_rest_of_the_graph(platforms) -> None:
    """On-chain is refused: the features of every coin are there, their on-chain columns null, and the failure named.

    Of the graph what features need, which is fetched from every provider of prices, bars, moods and news.
    """
    broken = platforms(fault="route=asset-metrics,status=403,rate=1")
    report = broken.backfill(START, START + DAY, tables=with_inputs(["ml_features"]))
    assert not report.ok
    assert "coinmetrics" in report.failures["onchain_base"]
    assert report.partitions["onchain_base"]["materialized"] == 0
    assert report.partitions["prices"]["materialized"] == 2
    assert report.partitions["ml_features"]["materialized"] == 2
    features = broken.read("ml_features")
    assert features.height > 0
    assert features["onchain_nvt_ratio"].null_count() == features.height


def test_missing_fills_what_is_missing_and_nothing_else(platform: Platform) -> None:
    """Of one market, of each coin, of a snapshot whose past cannot be fetched, and of what is derived."""
    tables = ["market_sentiment", "onchain_base", "derivatives", "onchain_enhanced"]
    assert platform.backfill(START, START + DAY, tables=tables).ok
    version = platform.warehouse.version("market_sentiment")
    report = platform.backfill(START, START + DAY * 3, tables=tables, missing_only=True)
    assert report.ok
    for table in tables:
        assert report.partitions[table] == {"requested": 2, "materialized": 2, "failed": 0}, table
    assert platform.warehouse.version("market_sentiment") == version + 1
    again = platform.backfill(START, START + DAY * 3, tables=tables, missing_only=True)
    assert {table["requested"] for table in again.partitions.values()} == {0}


def test_a_day_written_later_makes_what_looked_back_over_it_stale(platform: Platform) -> None:
    """Prices of the first day arrive last: every later features day that looked over them is derived again."""
    tables, rest = ["prices", "ohlc", "onchain_base", "onchain_enhanced", "ml_features"], days(START + DAY, END)
    assert platform.backfill(rest[0], rest[-1], tables=tables).ok
    before = platform.read("ml_features").filter(pl.col("date") > START)
    runs.execute(platform.instance, ["prices"], START, START)
    stale = stale_days(platform.instance, platform.warehouse, "ml_features", START, END)
    assert stale == rest, "each looks back seven days over prices"
    assert stale_days(platform.instance, platform.warehouse, "onchain_enhanced", START, END) == []
    assert platform.backfill(START, START, tables=tables).ok
    assert stale_days(platform.instance, platform.warehouse, "ml_features", START, END) == []
    after = platform.read("ml_features").filter(pl.col("date") > START)
    assert after["return_24h"].null_count() < before["return_24h"].null_count()


def test_the_horizon_follows_the_graph() -> None:
    assert last_affected_day(["news_articles"], START) >= START + DAY * LOOK_BACK["narratives"]["news_articles"]
    assert last_affected_day(["ml_features"], START) == START + DAY * LOOK_BACK["signals"]["ml_features"]


def test_runs_of_dead_processes_are_buried(platform: Platform) -> None:
    platform.activate()
    run = platform.instance.create_run_for_job(
        graph.job(), tags={runs.PROCESS_TAG: f"{runs._process().split(':')[0]}:999999999:1"}
    )
    assert runs.fail_dead_runs(platform.instance) == 1
    found = platform.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.is_failure
    assert runs.fail_dead_runs(platform.instance) == 0


def test_statuses_tell_failed_from_missing(platforms) -> None:
    broken = platforms(fault="route=fng,status=403,rate=1")
    broken.backfill(START, START, tables=["market_sentiment"])
    found = partition_statuses(broken.instance, "market_sentiment", days(START, START + DAY))
    assert list(found.values()) == ["FAILED", "MISSING"]


def test_a_late_recording_heals_the_same_day(platforms, filled: Platform) -> None:
    """Yesterday's fetch saw less; today's sees all: the tables are those of an undisturbed run.

    News are the exception: an article that turned up later is known from when it did, not from its own date.
    """
    compared = ("prices", "ohlc", "onchain_enhanced", "ml_features")
    tables = with_inputs(compared)
    early = platforms(until=datetime(2021, 3, 4, 12, 20, tzinfo=timezone.utc))
    early.backfill(START, END, tables=tables)
    late = platforms()
    late.env["CRYPTO_ASSETS_HOME"] = early.env["CRYPTO_ASSETS_HOME"]
    late.instance = early.instance
    assert late.backfill(START, END, tables=tables).ok
    news = [feature.name for group in ("news", "events") for feature in GROUPS[group]]
    for table in compared:
        frames = [p.read(table).drop(news, strict=False) for p in (late, filled)]
        assert_frame_equal(*frames, rel_tol=1e-9, abs_tol=0)


@pytest.mark.parametrize("table", SOURCES)
def test_a_source_heals_by_retry(platforms, table: str) -> None:
    """Every second request of every provider is answered 503: the rows are there in the end."""
    shaky = platforms(fault="status=503,rate=0.4")
    report = shaky.backfill(START, START, tables=[table])
    assert report.ok, report.failures
    assert report.rows[table] > 0


def test_progress_ends_at_its_total(platform: Platform) -> None:
    seen: list[tuple[str, int, int]] = []
    platform.activate()
    from crypto_assets.operate.backfill import backfill

    backfill(
        platform.instance,
        platform.warehouse,
        ["market_sentiment"],
        START,
        START + timedelta(days=1),
        progress=lambda *step: seen.append(step),
    )
    assert seen[0][1] == 0
    assert seen[-1][1] == seen[-1][2] == 2
    run = platform.instance.get_runs(limit=1)[0]
    assert run.asset_selection == {dg.AssetKey("market_sentiment")}, "the target in the UI's list of runs"


def test_progress_moves_within_a_run_table_by_table(platform: Platform) -> None:
    seen: list[tuple[str, int, int]] = []
    platform.activate()
    from crypto_assets.operate.backfill import backfill

    backfill(
        platform.instance,
        platform.warehouse,
        ["onchain_base", "onchain_enhanced"],
        START,
        START + timedelta(days=1),
        progress=lambda *step: seen.append(step),
    )
    one_run = seen[: next(i for i, (what, *_) in enumerate(seen) if what == "done") + 1]
    assert [done for _, done, _ in one_run] == sorted(done for _, done, _ in one_run), "it never goes back"
    assert {done for _, done, _ in one_run} == {0, 2, 4}, "each table counts its days when it ends"
    named = [what for what, *_ in one_run]
    assert [any(table in what for what in named) for table in ("onchain_base", "onchain_enhanced")] == [True, True]
