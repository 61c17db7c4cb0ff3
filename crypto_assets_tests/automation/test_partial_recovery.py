"""One provider's outage in a tick leaves the features of every coin."""

from __future__ import annotations

import dagster as dg
import pytest

from crypto_assets.assets.run_tags import REASON
from crypto_assets.automation.planner import specs
from crypto_assets.automation.planner.reasons.rest_of_run import derivable, wanted_days
from crypto_assets.automation.planner.rules import REST_OF_RUN
from crypto_assets.automation.repair import derive_without_what_failed
from crypto_assets.operate import graph
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform

ALL = {
    "prices",
    "ohlc",
    "onchain_base",
    "onchain_enhanced",
    "news_articles",
    "article_narratives",
    "narratives",
    "ml_features",
}


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ({"onchain_base"}, ["ml_features"]),
        ({"prices"}, ["ml_features"]),
        ({"prices", "ohlc"}, []),
        ({"news_articles"}, ["ml_features"]),
        ({"article_narratives"}, ["ml_features"]),
        ({"ml_features"}, []),
    ],
)
def test_what_can_be_derived_without(failed: set[str], expected: list[str]) -> None:
    sources = {"prices", "ohlc", "onchain_base", "news_articles"} - failed
    below = {"onchain_base": {"onchain_enhanced"}, "news_articles": {"article_narratives", "narratives"}}
    reached = {"article_narratives": {"narratives"}}
    lost = {table for source in failed for table in {*below.get(source, ()), *reached.get(source, ())}}
    done = sources | ({"onchain_enhanced", "article_narratives", "narratives"} - lost - failed)
    assert derivable(ALL, done, failed, specs.current()) == expected


def test_an_input_outside_the_run_was_there_before() -> None:
    assert derivable({"onchain_base", "ml_features"}, set(), {"onchain_base"}, specs.current()) == ["ml_features"]


def failed_tick(platform: Platform) -> dg.DagsterRun:
    """A tick as the daemon launches it: one run of every table for one day."""
    platform.activate()
    day = {"dagster/partition": scenario.START.isoformat()}
    result = graph.job().execute_in_process(instance=platform.instance, tags=day, raise_on_error=False)
    run = platform.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.is_failure
    return run


def test_the_rest_of_a_failed_tick_is_asked_for(platforms) -> None:
    broken = platforms(fault="route=asset-metrics,status=403,rate=1")
    run = failed_tick(broken)
    assert broken.read("ml_features").is_empty(), "Dagster skips what depends on a failed step"
    assert {wanted_day.table for wanted_day in wanted_days(broken.instance, run, specs.current())} == {
        "ml_features", "predictions", "signals",
    }  # fmt: skip
    failure = next(
        iter(broken.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records)
    )
    event = failure.event_log_entry.dagster_event
    assert event is not None
    context = dg.build_run_status_sensor_context("x", event, broken.instance, run).for_run_failure()
    result = derive_without_what_failed(context)
    assert isinstance(result, dg.SensorResult)
    (request,) = result.run_requests or ()
    rest = ["ml_features", "predictions", "signals"]
    assert [key.to_user_string() for key in request.asset_selection or ()] == rest
    job = graph.job().get_subset(asset_selection=set(request.asset_selection or ()))
    assert job.execute_in_process(instance=broken.instance, tags=dict(request.tags)).success
    features = broken.read("ml_features")
    assert features.height > 0
    assert features["onchain_nvt_ratio"].null_count() == features.height
    assert request.tags[REST_OF_RUN.tag] == run.run_id
    assert request.tags[REASON] == (
        f"rest of failed run {run.run_id[:8]}: onchain_base failed, and ml_features can be derived without it (and 2 more like it)"
    )
