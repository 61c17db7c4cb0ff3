"""Refills: what is asked for again, what is left alone, and that it ends."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.test_utils import create_run_for_test

from crypto_assets.assets.providers import Providers
from crypto_assets.assets.run_tags import REASON
from crypto_assets.assets.shell import FAILED_COINS
from crypto_assets.automation.planner import observed_state, specs
from crypto_assets.automation.planner.plan import Plan, PlannedRun, plan
from crypto_assets.automation.planner.reasons import gaps
from crypto_assets.automation.planner.reasons.late_values import find_late_values
from crypto_assets.automation.planner.requests import requests
from crypto_assets.automation.planner.rules import REFILL
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.automation.repair import refill_gaps, refills
from crypto_assets.automation.schedules import SETTLES_AFTER
from crypto_assets.dates import DAY, midnight
from crypto_assets.operate import runs
from crypto_assets_tests import scenario

TODAY = datetime.now(timezone.utc).date()


def materialise(instance: DagsterInstance, table: str, *found: date, **metadata: object) -> None:
    """As of this noon, whatever the clock says: minutes after midnight, a fetch has not settled yesterday yet."""
    noon = midnight(TODAY) + timedelta(hours=12)
    for day in found:
        said = AssetMaterialization(AssetKey(table), partition=day.isoformat(), metadata=metadata)  # type: ignore[arg-type]
        kind, data = DagsterEventType.ASSET_MATERIALIZATION.value, StepMaterializationData(said, [])
        event = DagsterEvent(kind, RUNLESS_JOB_NAME, event_specific_data=data)
        instance.report_dagster_event(event, RUNLESS_RUN_ID, timestamp=noon.timestamp())


def wanted(found: Plan, table: str) -> set[date]:
    return {
        item.first + DAY * n
        for item in found.all_runs
        if table in item.tables and not item.coins
        for n in range((item.last - item.first).days + 1)
    }


def test_missing_days_of_the_window_are_asked_for_once_they_are_due(
    instance: DagsterInstance,
) -> None:
    now = midnight(TODAY) + timedelta(minutes=20)
    week = {TODAY - DAY * n for n in range(1, gaps.WINDOW_DAYS + 1)}
    materialise(instance, "prices", TODAY - DAY * 3)
    found = refills(instance, now)
    assert wanted(found, "prices") == week - {TODAY - DAY * 3}
    assert wanted(found, "onchain_base") == week - {TODAY - DAY}, "the provider does not have yesterday yet"
    assert wanted(found, "derivatives") == set(), "the past cannot be fetched"
    assert wanted(found, "onchain_enhanced") <= wanted(found, "onchain_base")
    assert found.runs[0].last == TODAY - DAY, "the newest first"
    assert len(found.runs) <= REFILL.most_runs


def test_the_schedule_asks_for_several_ranges_in_one_tick(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through Dagster's own evaluation, which refuses several requests that it could not tell apart."""
    from crypto_assets.definitions import defs

    monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(tmp_path))
    for table in SETTLES_AFTER:
        materialise(instance, table, *[TODAY - DAY * n for n in (2, 4, 6)])
    context = dg.build_schedule_context(instance=instance, repository_def=defs.get_repository_def())
    asked = refill_gaps.evaluate_tick(context).run_requests or []
    assert len(asked) == REFILL.most_runs
    assert all(request.tags[REASON].split(":")[0] in ("gap", "unsettled") for request in asked)
    assert len({request.run_key for request in asked}) == len(asked)
    assert all(request.asset_selection for request in asked)


def test_a_day_fetched_before_it_was_whole_is_settled_later(instance: DagsterInstance) -> None:
    """The machine slept from this noon on. Tomorrow's look fetches today again; a later fetch has settled it."""
    materialise(instance, "prices", *[TODAY - DAY * n for n in range(8)])
    tomorrow = midnight(TODAY + DAY) + SETTLES_AFTER["prices"]
    assert wanted(refills(instance, tomorrow), "prices") == {TODAY}
    assert wanted(refills(instance, tomorrow - timedelta(minutes=1)), "prices") == set()


def test_coins_that_failed_are_asked_for_alone(instance: DagsterInstance) -> None:
    days = [TODAY - DAY * n for n in range(1, 8)]
    materialise(instance, "ohlc", *days)
    materialise(instance, "ohlc", *days[:2], **{FAILED_COINS: dg.MetadataValue.json({"ETH": "503"})})
    found = [item for item in refills(instance, midnight(TODAY) + timedelta(hours=12)).all_runs if item.coins]
    assert [(run.tables, run.first, run.last, run.coins) for run in found] == [(("ohlc",), days[1], days[0], ("ETH",))]
    (request,) = requests(found, REFILL)
    assert request.tags["crypto_assets/coins"] == "ETH"
    assert request.tags[REASON] == f"failed coins: ohlc {days[1]} lacks ETH (and 1 more like it)"


def test_what_cannot_heal_is_left_alone_for_the_day(instance: DagsterInstance) -> None:
    now, retry = datetime.now(timezone.utc), REFILL.retry

    def asked(table: str, at: datetime) -> list[PlannedRun]:
        wanted_day = WantedDay(table, TODAY - DAY, "a test")
        return plan(
            [wanted_day], REFILL, specs.current(), now=at, tried=lambda key: observed_state.attempts(instance, key)
        ).runs

    (item,) = asked("prices", now)
    (request,) = requests([item], REFILL)
    for attempt in range(retry.most):
        create_run_for_test(instance, job_name="refill", tags=dict(request.tags))
        assert not asked("prices", now + timedelta(minutes=1)), "not at once"
        later = now + retry.first_pause * 2**attempt + timedelta(minutes=1)
        assert bool(asked("prices", later)) == (attempt + 1 < retry.most)
    assert asked("prices", now + DAY + timedelta(minutes=1))
    assert asked("ohlc", now)


def test_an_outage_heals_and_then_there_is_nothing_left_to_do(platforms, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider was down over all days; once it is back, a few looks bring its rows and what is derived from them."""
    monkeypatch.setattr(gaps, "WINDOW_DAYS", 2)
    broken = platforms(fault="route=asset-metrics,status=403,rate=1")
    broken.backfill(scenario.START, scenario.START + DAY)
    healthy = platforms()
    healthy.env["CRYPTO_ASSETS_HOME"] = broken.env["CRYPTO_ASSETS_HOME"]
    healthy.instance = broken.instance
    healthy.activate()
    now = midnight(scenario.START + DAY * 2) + timedelta(hours=12)
    first = refills(healthy.instance, now)
    assert {table for item in first.all_runs for table in item.tables} >= {"onchain_base", "onchain_enhanced"}
    for _ in range(3):
        for item in refills(healthy.instance, now).all_runs:
            assert runs.execute(healthy.instance, item.tables, item.first, item.last, item.coins).success
    assert refills(healthy.instance, now) == Plan()
    late = find_late_values(healthy.instance, healthy.warehouse, Providers(), specs.current())
    for table, days in late.wanted.items():
        assert runs.execute(healthy.instance, [table], days[0], days[-1]).success
    features = healthy.read("ml_features")
    assert features["onchain_nvt_ratio"].null_count() < features.height


def test_a_failed_snapshot_day_ends_although_its_past_cannot_be_fetched(platforms) -> None:
    """Nothing is asked of the provider, nothing is stored, and the day is failed no more."""
    broken = platforms(fault="route=/api/v3,status=403,rate=1")
    broken.activate()
    assert not runs.execute(broken.instance, ["derivatives"], TODAY, TODAY).success
    tomorrow = midnight(TODAY + DAY) + timedelta(hours=12)
    assert wanted(refills(broken.instance, tomorrow), "derivatives") == {TODAY}
    late = broken.instance
    day = TODAY - DAY * 3  # as the same run looks when its day is over
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Providers, "now", lambda self: midnight(day) + timedelta(hours=5))
        assert not runs.execute(late, ["derivatives"], day, day).success
    found = [item for item in refills(late, tomorrow).all_runs if "derivatives" in item.tables]
    for item in found:
        if item.last < TODAY:
            assert runs.execute(late, ["derivatives"], item.first, item.last).success
    assert wanted(refills(late, tomorrow), "derivatives") == {TODAY}
    assert broken.warehouse.read("derivatives").is_empty()
