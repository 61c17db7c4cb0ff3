"""No planner of runs asks for more rows of ``ml_features`` at once than fit the memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from crypto_assets.assets.shell import DAILY
from crypto_assets.automation import repair
from crypto_assets.automation.planner import specs
from crypto_assets.automation.planner.observed_state import TableDays
from crypto_assets.automation.planner.plan import PlannedRun, plan
from crypto_assets.automation.planner.reasons import command, gaps, model_is_back, rest_of_run
from crypto_assets.automation.planner.requests import requests
from crypto_assets.automation.planner.rules import LATE_VALUES, MODEL_IS_BACK, REFILL
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.catalog import select
from crypto_assets.checks.shells import RANGE
from crypto_assets.dates import DAY, chunks, days
from crypto_assets.operate import backfill
from crypto_assets.tables.ml import CHUNK_ROWS

FIRST = DAILY.start.date()
LAST = FIRST + DAY * 399
NOW = datetime.combine(LAST + DAY * 30, datetime.min.time(), timezone.utc) + timedelta(hours=12)
Span = tuple[Iterable[str], date, date]


@pytest.fixture(autouse=True)
def every_coin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_COINS", "all")


def judged(spans: Iterable[Span]) -> None:
    """Every day of the features is asked for once, and never too many at once."""
    coins, found = len(select("all")), []
    for tables, first, last in spans:
        if "ml_features" in tables:
            rows = ((last - first).days + 1) * 24 * coins
            assert rows <= CHUNK_ROWS, f"{first} to {last}: {rows:,} rows"
            found += days(first, last)
    assert found, "the planner asked for no features"
    assert sorted(found) == days(min(found), max(found))


def spans_of(asked: Iterable[dg.RunRequest]) -> list[Span]:
    return [
        (
            [key.to_user_string() for key in request.asset_selection or ()],
            date.fromisoformat(request.tags[RANGE[0]]),
            date.fromisoformat(request.tags[RANGE[1]]),
        )
        for request in asked
    ]


def spans_of_runs(runs: Iterable[PlannedRun]) -> list[Span]:
    return [(run.tables, run.first, run.last) for run in runs]


@pytest.mark.parametrize("tables", [["ml_features"], ["onchain_enhanced", "ml_features"], ["prices", "ml_features"]])
def test_the_command_line(tables: list[str]) -> None:
    found = spans_of_runs(backfill.planned(command.asked(dict.fromkeys(tables, days(FIRST, LAST)), "a test")))
    judged(found)
    for table in tables:
        assert sum((last - first).days + 1 for named, first, last in found if table in named) == 400


def test_late_values() -> None:
    wanted_days = [
        WantedDay(table, day, "late") for table in ("onchain_enhanced", "ml_features") for day in days(FIRST, LAST)
    ]
    found = plan(wanted_days, replace(LATE_VALUES, most_runs=None), specs.current(), now=NOW)
    spans = spans_of(requests(found.runs, LATE_VALUES))
    judged(spans)
    assert sum("onchain_enhanced" in tables for tables, _, _ in spans) < 4


def test_refills() -> None:
    failed = dict.fromkeys(days(FIRST, LAST), "FAILED")
    known = specs.current()
    tables = {table: TableDays(failed if table in ("prices", "ml_features") else {}, {}, {}) for table in known.kept_up}
    wanted_days = gaps.wanted_days(tables, known, NOW)
    assert {wanted_day.day for wanted_day in wanted_days if wanted_day.table == "ml_features"} >= set(failed)
    found = plan(wanted_days, REFILL, known, now=NOW)
    ordered = sorted(found.all_runs, key=lambda run: run.first)
    judged(span for span in spans_of_runs(ordered) if span[2] <= LAST)  # the window is weeks after the failed days


def test_the_rest_of_a_failed_run(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {"onchain_base", "defi_metrics", "onchain_enhanced", "ml_features"}, {"onchain_base"}, {"defi_metrics"}
    monkeypatch.setattr(rest_of_run, "_steps", lambda *_: steps)
    run: Any = SimpleNamespace(run_id="abc", tags={RANGE[0]: FIRST.isoformat(), RANGE[1]: LAST.isoformat()})
    context: Any = SimpleNamespace(dagster_run=run, instance=instance)
    sensor: Any = repair.derive_without_what_failed
    result = sensor._run_status_sensor_fn(context)
    asked = result.run_requests
    judged(spans_of(asked))
    assert {table for tables, _, _ in spans_of(asked) for table in tables} == {"onchain_enhanced", "ml_features"}
    assert len({request.run_key for request in asked}) == len(asked) > 1
    priority = [int(request.tags["dagster/priority"]) for request in asked]
    assert priority == sorted(priority, reverse=True), "inputs first"


def test_the_model_is_back() -> None:
    owed = model_is_back.Unanswered(days(FIRST, LAST), LAST, 400, "400/0/")
    known = replace(specs.current(), days_in_memory={"ml_features": 20})
    found = plan(model_is_back.wanted_days(owed, known, "a model"), MODEL_IS_BACK, known, now=NOW)
    assert max((run.last - run.first).days + 1 for run in found.all_runs if "ml_features" in run.tables) == 20
    judged(spans_of_runs(found.all_runs))


def test_the_page() -> None:
    """Dagster's own backfills follow the policy that the asset gets when the code is loaded, with the coins of then."""
    said = "from crypto_assets.assets.ml import ml_features; print(ml_features.backfill_policy.max_partitions_per_run)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    judged((["ml_features"], *chunk) for chunk in chunks(FIRST, LAST, int(done.stdout.split()[-1])))
