"""How days stand: what Dagster itself says of each key, and no slower over six years."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance, DagsterRunStatus

from crypto_assets.assets.partition_states import left_failed, one_look, states_of
from crypto_assets.assets.shell import DAILY, days_at_most, days_in_memory
from crypto_assets.checks.shells import RANGE
from crypto_assets.dates import DAY, chunks, days
from crypto_assets.tables.ml import CHUNK_ROWS
from crypto_assets.tables.registry import TABLES
from crypto_assets.tables.spec import EachCoin, EachSeries, FromProvider

FIRST = DAILY.start.date()
LAST = FIRST + DAY * 20


def hollow() -> dg.JobDefinition:
    @dg.asset(name="prices", partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def prices() -> None: ...

    return dg.Definitions(assets=[prices]).resolve_implicit_global_asset_job_def()


def begin(instance: DagsterInstance, first: date, last: date) -> dg.DagsterRun:
    tags = {RANGE[0]: first.isoformat(), RANGE[1]: last.isoformat()}
    return instance.create_run_for_job(hollow(), status=DagsterRunStatus.STARTED, tags=tags)


def materialise(instance: DagsterInstance, *found: date) -> None:
    for day in found:
        instance.report_runless_asset_event(AssetMaterialization(AssetKey("prices"), partition=day.isoformat()))


def in_dagsters_words(instance: DagsterInstance, first: date, last: date) -> dict[date, str]:
    keys = [day.isoformat() for day in days(first, last)]
    known = instance.get_status_by_partition(AssetKey("prices"), keys, DAILY) or {}
    return {date.fromisoformat(key): status.value for key, status in known.items() if status is not None}


def test_nothing_is_known_of_a_table_that_was_never_filled(instance: DagsterInstance) -> None:
    assert states_of(instance, "prices", FIRST, LAST) == {}


def test_states_are_what_dagster_says_of_each_day(instance: DagsterInstance) -> None:
    materialise(instance, *days(FIRST + DAY * 2, FIRST + DAY * 9), FIRST + DAY * 12)
    failed = begin(instance, FIRST + DAY * 9, FIRST + DAY * 14)
    instance.report_run_failed(failed, "for the test")
    materialise(instance, FIRST + DAY * 13)  # mended
    begin(instance, FIRST + DAY * 5, FIRST + DAY * 6)
    begin(instance, FIRST + DAY * 14, FIRST + DAY * 15)
    found = states_of(instance, "prices", FIRST, LAST)
    assert found == in_dagsters_words(instance, FIRST, LAST)
    assert {found[FIRST + DAY * n] for n in (2, 3, 4, 7, 8, 13)} == {"MATERIALIZED"}
    assert {found[FIRST + DAY * n] for n in (9, 10, 11, 12)} == {"FAILED"}
    assert {found[FIRST + DAY * n] for n in (5, 6, 14, 15)} == {"IN_PROGRESS"}
    assert not {FIRST, FIRST + DAY, FIRST + DAY * 16} & set(found)
    part = states_of(instance, "prices", FIRST + DAY * 4, FIRST + DAY * 13)
    assert part == in_dagsters_words(instance, FIRST + DAY * 4, FIRST + DAY * 13)


def test_a_day_that_is_tried_again_has_failed_until_it_is_there(instance: DagsterInstance) -> None:
    """Else whoever looks while a try runs would call it mended, and broken again a minute later."""
    instance.report_run_failed(begin(instance, FIRST, FIRST + DAY), "for the test")
    assert left_failed(instance, "prices", FIRST, LAST) == {FIRST, FIRST + DAY}
    begin(instance, FIRST, FIRST)
    assert states_of(instance, "prices", FIRST, LAST)[FIRST] == "IN_PROGRESS"
    assert left_failed(instance, "prices", FIRST, LAST) == {FIRST, FIRST + DAY}
    materialise(instance, FIRST)
    assert left_failed(instance, "prices", FIRST, LAST) == {FIRST + DAY}
    assert left_failed(instance, "prices", FIRST + DAY * 2, LAST) == set()


def test_all_questions_of_one_look_have_the_answer_of_one_instant(instance: DagsterInstance) -> None:
    materialise(instance, FIRST)
    with one_look(instance, ["prices", "ohlc"]):
        assert states_of(instance, "prices", FIRST, LAST) == {FIRST: "MATERIALIZED"}
        materialise(instance, FIRST + DAY)
        instance.report_run_failed(begin(instance, FIRST, FIRST), "for the test")
        assert states_of(instance, "prices", FIRST, LAST) == {FIRST: "MATERIALIZED"}
        assert left_failed(instance, "prices", FIRST, LAST) == set()
        assert states_of(instance, "ohlc", FIRST, LAST) == {}
        assert states_of(instance, "kraken_ohlc", FIRST, LAST) == {}, "a table that was not announced is asked alone"
    assert states_of(instance, "prices", FIRST, LAST) == {FIRST: "FAILED", FIRST + DAY: "MATERIALIZED"}
    assert left_failed(instance, "prices", FIRST, LAST) == {FIRST}


def test_a_chunk_of_features_is_bounded_by_its_rows_whatever_the_coins_and_the_years() -> None:
    for coins in (1, 20, 148, 300, 322, 5_000):
        size = days_in_memory(TABLES["ml_features"], coins)
        longest = max(
            (last - first + timedelta(days=1)).days for first, last in chunks(FIRST, FIRST + DAY * 1_825, size)
        )
        assert longest == 1 or longest * 24 * coins <= CHUNK_ROWS
        assert longest == size
    assert days_in_memory(TABLES["ml_features"], 300) == 40
    assert days_in_memory(TABLES["ml_features"], 600) == 20


@pytest.mark.parametrize("coins", [2, 50, 300, 1000, 10_000])
def test_the_rows_of_a_run_of_a_provider_are_bounded_however_many_coins_there_are(coins: int) -> None:
    """300 coins and 250 days of bars at two venues took 4.1 GB before they were."""
    hourly = {
        name: spec
        for name, spec in TABLES.items()
        if isinstance(spec.rows_from, FromProvider)
        and isinstance(spec.expected, EachCoin | EachSeries)
        and spec.expected.rows_per_day == 24
    }
    assert {"prices", "ohlc", "open_interest", "perpetual_bars"} <= set(hourly)
    for name, spec in hourly.items():
        size = days_in_memory(spec, coins)
        assert size == 1 or size * coins * 24 <= 1_000_000, name
        if coins <= 50:
            assert size == days_at_most(spec), name
