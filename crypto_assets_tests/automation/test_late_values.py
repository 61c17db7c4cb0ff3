"""Late values: a tick asks for exactly the partitions whose rows come out different, inputs first, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import polars as pl
import pytest
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance
from polars.testing import assert_frame_equal

from crypto_assets.assets.run_tags import REASON, REPAIR
from crypto_assets.automation.planner.rules import LATE_VALUES
from crypto_assets.checks.shells import RANGE
from crypto_assets.dates import DAY, days
from crypto_assets.definitions import defs
from crypto_assets.operate import graph, runs
from crypto_assets.storage.versions import version_at
from crypto_assets.tables.registry import LOOK_BACK
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform, Prepared, open_platform

CHAIN = ["prices", "ohlc", "onchain_base", "onchain_enhanced", "ml_features"]
START, END, LATE = scenario.START, scenario.END, scenario.LATE_DAY


@pytest.fixture
def story(
    new_instance: Callable[[], DagsterInstance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Platform, Platform]]:
    """One home on two recordings: in the first, BTC's on-chain day of the 3rd is not there yet."""
    whole, early = scenario.write(tmp_path / "whole"), without_the_late_day(tmp_path / "early")
    instance = new_instance()
    with ExitStack() as stack:
        before, after = (
            stack.enter_context(open_platform(instance, tmp_path / "home", recording, monkeypatch))
            for recording in (early, whole)
        )
        yield before, after


@pytest.fixture
def filled_story(
    prepared: Callable[..., Prepared],
    copy_of: Callable[[Prepared], Platform],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Platform, Platform]]:
    """The same, after the days were filled from the first recording."""
    before = copy_of(prepared("late_values", fill, without_the_late_day))
    whole = scenario.write(tmp_path / "whole")
    with open_platform(before.instance, before.settings.home, whole, monkeypatch) as after:
        yield before, after


def without_the_late_day(folder: Path) -> Path:
    scenario.write(folder)
    path = folder / "coinmetrics_daily_2020-04_2021-04.parquet"
    chain = pd.read_parquet(path)
    chain[~((chain["asset"] == "btc") & (chain["date"] == LATE))].to_parquet(path)
    return folder


def fill(platform: Platform) -> None:
    """The days of the story, and the on-chain days before it that their windows look back over."""
    assert platform.backfill(START - DAY * 9, START - DAY, tables=["onchain_base"]).ok
    assert platform.backfill(START, END, tables=CHAIN).ok


def tick(platform: Platform, cursor: str | None = None) -> dg.SensorExecutionData:
    platform.activate()
    context = dg.build_sensor_context(
        instance=platform.instance, cursor=cursor, repository_def=defs.get_repository_def()
    )
    return defs.resolve_sensor_def("late_values").evaluate_tick(context)  # type: ignore[return-value]


def asked(data: dg.SensorExecutionData) -> list[tuple[str, date]]:
    """(table, day) in the order in which they are asked for."""
    return [
        (request.asset_selection[0].to_user_string(), day)
        for request in data.run_requests or []
        for day in days(*(date.fromisoformat(request.tags[name]) for name in RANGE))
    ]


def carry_out(platform: Platform, data: dg.SensorExecutionData) -> None:
    platform.activate()
    for request in data.run_requests or []:
        (key,) = request.asset_selection or ()
        span = (date.fromisoformat(request.tags[name]) for name in RANGE)
        assert runs.execute(platform.instance, [key.to_user_string()], *span).success


def contents(platform: Platform) -> dict[tuple[str, date], pl.DataFrame]:
    return {
        (table, day): platform.warehouse.read(table, start=day, end=day)
        for table in LOOK_BACK
        for day in days(START, END)
    }


def materialisations(platform: Platform) -> dict[str, int]:
    return {
        table: len(platform.instance.fetch_materializations(AssetRecordsFilter(AssetKey(table)), limit=1000).records)
        for table in graph.tables()
    }


def test_a_late_onchain_row(filled_story: tuple[Platform, Platform]) -> None:
    early, late = filled_story
    first = tick(early)
    assert asked(first) == [], "nothing is late yet"
    assert first.cursor
    assert "No input has changed" in str(tick(early, first.cursor).skip_message)

    before, versions = contents(early), early.warehouse.versions()
    late.activate()
    assert runs.execute(late.instance, ["onchain_base"], LATE, LATE).success
    seen = tick(late, first.cursor)
    counted = materialisations(late)
    said = [request.tags[REASON] for request in seen.run_requests or []]
    assert said[0] == f"late values: onchain_base {LATE} was written after onchain_enhanced read it"
    assert {text.split(":")[0] for text in said} == {"late values"}
    carry_out(late, seen)
    after = contents(late)
    changed = [key for key in before if not after[key].equals(before[key])]
    assert asked(seen) == changed, "exactly the partitions that came out different, inputs first"
    assert {table for table, _ in changed} == {"onchain_enhanced", "ml_features"}
    enhanced = [day for table, day in changed if table == "onchain_enhanced"]
    assert enhanced == [LATE, LATE + DAY * 2, LATE + DAY * 3], "the 4th was known before the late row"
    assert min(day for table, day in changed if table == "ml_features") == scenario.LATE_COMPLETION.date()
    grown = {table: count - counted[table] for table, count in materialisations(late).items()}
    assert grown == {table: sum(name == table for name, _ in changed) for table in grown}

    again = tick(late, first.cursor)
    assert asked(again) == []
    assert "No input has changed" in str(tick(late, again.cursor).skip_message), "it does not loop"

    derived = [table for table in CHAIN if table in LOOK_BACK]
    assert runs.execute(late.instance, derived, START, END).success
    for key, rows in contents(late).items():
        assert_frame_equal(rows, after[key], rel_tol=1e-9, abs_tol=0)  # nothing was left out
    _earlier_versions_say_what_was_known(late, before, versions)


def _earlier_versions_say_what_was_known(
    platform: Platform, before: dict[tuple[str, date], pl.DataFrame], versions: dict[str, int | None]
) -> None:
    for (table, day), rows in before.items():
        assert_frame_equal(platform.warehouse.read(table, start=day, end=day, version=versions[table]), rows)


def test_what_cannot_be_seen_is_not_derived_again(story: tuple[Platform, Platform]) -> None:
    """The same rows again, or a change outside what any derived value uses: no run."""
    early, _ = story
    assert early.backfill(START, START + DAY, tables=CHAIN).ok
    cursor = tick(early).cursor
    runs.execute(early.instance, ["prices", "onchain_base"], START, START + DAY)
    assert asked(tick(early, cursor)) == []
    base = early.warehouse.read("onchain_base", start=START, end=START)
    from crypto_assets.tables.schemas import ONCHAIN_BASE

    early.warehouse.write(ONCHAIN_BASE, base.with_columns(difficulty=pl.lit(1.0)), [START])
    data = tick(early, cursor)
    assert asked(data) == []
    assert data.cursor != cursor


def test_days_that_a_run_will_derive_are_left_to_it(filled_story: tuple[Platform, Platform]) -> None:
    _, late = filled_story
    late.activate()
    assert runs.execute(late.instance, ["onchain_base"], LATE, LATE).success
    whole = {RANGE[0]: START.isoformat(), RANGE[1]: END.isoformat()}
    busy = late.instance.create_run_for_job(
        graph.job(),
        asset_selection=frozenset({AssetKey("ml_features")}),
        tags=whole,
        status=dg.DagsterRunStatus.STARTED,
    )
    assert {table for table, _ in asked(tick(late))} == {"onchain_enhanced"}
    own = late.instance.create_run_for_job(
        graph.job(), tags={LATE_VALUES.tag: "true"}, status=dg.DagsterRunStatus.STARTED
    )
    assert asked(tick(late)) == [], "the last tick's runs first"
    for run in (busy, own):
        late.instance.report_run_failed(run)
    assert {table for table, _ in asked(tick(late))} == {"onchain_enhanced", "ml_features"}


def test_a_change_that_keeps_failing_is_given_up(story: tuple[Platform, Platform]) -> None:
    early, late = story
    assert early.backfill(START, END, tables=["onchain_base", "onchain_enhanced"]).ok
    late.activate()
    assert runs.execute(late.instance, ["onchain_base"], LATE, LATE).success
    keys = set()
    for _ in range(LATE_VALUES.retry.most):
        data = tick(late)
        assert asked(data)
        for request in data.run_requests or []:
            assert request.run_key not in keys, "Dagster would not start it again"
            keys.add(request.run_key)
            run = late.instance.create_run_for_job(graph.job(), tags={REPAIR: request.tags[REPAIR]})
            late.instance.report_run_failed(run)
    last = tick(late)
    assert asked(last) == []
    assert last.cursor, "and is not looked at again"


def test_a_version_is_found_by_its_instant(story: tuple[Platform, Platform]) -> None:
    from crypto_assets.storage.versions import commits

    early, late = story
    early.backfill(START, END, tables=["onchain_base"])
    late.activate()
    runs.execute(late.instance, ["onchain_base"], LATE, LATE)
    known = commits(late.warehouse, "onchain_base")
    newest = max(known)
    assert version_at(late.warehouse, "onchain_base", known[newest]) == newest
    assert version_at(late.warehouse, "onchain_base", known[newest] - timedelta(milliseconds=1)) == newest - 1
    btc = pl.col("symbol") == "BTC"
    then = late.warehouse.read("onchain_base", start=LATE, end=LATE, version=newest - 1)
    assert then.filter(btc).is_empty()
    assert not late.warehouse.read("onchain_base", start=LATE, end=LATE).filter(btc).is_empty()


@pytest.mark.parametrize("job", ["look", "observe", "tidy_up", "report"])
def test_a_run_that_derives_nothing_holds_up_nothing(filled_story: tuple[Platform, Platform], job: str) -> None:
    """A look, an observation or a tidying that runs is not under way to derive the partitions that are late."""
    early, late = filled_story
    first = tick(early)
    late.activate()
    assert runs.execute(late.instance, ["onchain_base"], LATE, LATE).success
    wanted = asked(tick(late, first.cursor))
    assert wanted
    definition = defs.resolve_job_def(job)
    run = late.instance.create_run_for_job(definition, status=dg.DagsterRunStatus.STARTED)
    assert asked(tick(late, first.cursor)) == wanted
    late.instance.report_run_failed(run, "for the test")
    tags = {name: day.isoformat() for name, day in zip(RANGE, (START - DAY * 9, END + DAY * 99), strict=True)}
    late.instance.create_run_for_job(defs.resolve_job_def("refill"), status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert asked(tick(late, first.cursor)) == [], "this one does derive them, though it names no table"
