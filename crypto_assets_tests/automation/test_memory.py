"""No planner of runs asks for more rows of ``ml_features`` at once than fit the memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from crypto_assets.assets.shell import DAILY
from crypto_assets.automation import late_values, partial_recovery, refill
from crypto_assets.catalog import select
from crypto_assets.checks.shells import RANGE
from crypto_assets.dates import DAY, chunks, days
from crypto_assets.operate import backfill
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.ml import CHUNK_ROWS

FIRST = DAILY.start.date()
LAST = FIRST + DAY * 399
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


def spans_of(requests: Iterable[dg.RunRequest]) -> list[Span]:
    return [
        (
            [key.to_user_string() for key in request.asset_selection or ()],
            date.fromisoformat(request.tags[RANGE[0]]),
            date.fromisoformat(request.tags[RANGE[1]]),
        )
        for request in requests
    ]


@pytest.mark.parametrize("tables", [["ml_features"], ["onchain_enhanced", "ml_features"], ["prices", "ml_features"]])
def test_the_command_line(tables: list[str]) -> None:
    plan = backfill._plan(dict.fromkeys(tables, days(FIRST, LAST)))
    judged(plan)
    for table in tables:
        assert sum((last - first).days + 1 for named, first, last in plan if table in named) == 400


def test_late_values(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_values, "MOST_RUNS", 1000)
    findings = late_values.Findings(wanted={"onchain_enhanced": days(FIRST, LAST), "ml_features": days(FIRST, LAST)})
    spans = spans_of(late_values.requests(instance, findings))
    judged(spans)
    assert sum("onchain_enhanced" in tables for tables, _, _ in spans) < 4


def test_refills(instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = dict.fromkeys(days(FIRST, LAST), "FAILED")
    monkeypatch.setattr(
        refill, "states_of", lambda _, table, *__: dict(failed) if table in ("prices", "ml_features") else {}
    )
    now = datetime.combine(LAST + DAY * 30, datetime.min.time(), timezone.utc) + timedelta(hours=12)
    monkeypatch.setattr(refill, "_derived", lambda states, wanted, window: wanted.update({"ml_features": set(failed)}))
    plan = refill.plan(instance, Warehouse(str(tmp_path / "warehouse")), now)
    judged((item.tables, item.first, item.last) for item in sorted(plan, key=lambda item: item.first))


def test_the_rest_of_a_failed_run(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_recovery, "rest_of", lambda *_: ["onchain_enhanced", "ml_features"])
    run: Any = SimpleNamespace(run_id="abc", tags={RANGE[0]: FIRST.isoformat(), RANGE[1]: LAST.isoformat()})
    context: Any = SimpleNamespace(dagster_run=run, instance=instance)
    sensor: Any = partial_recovery.derive_without_what_failed
    result = sensor._run_status_sensor_fn(context)
    requests = result.run_requests
    judged(spans_of(requests))
    assert len({request.run_key for request in requests}) == len(requests) > 1
    priority = [int(request.tags["dagster/priority"]) for request in requests]
    assert priority == sorted(priority, reverse=True), "inputs first"


def test_the_page() -> None:
    """Dagster's own backfills follow the policy that the asset gets when the code is loaded, with the coins of then."""
    said = "from crypto_assets.assets.ml import ml_features; print(ml_features.backfill_policy.max_partitions_per_run)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    judged((["ml_features"], *chunk) for chunk in chunks(FIRST, LAST, int(done.stdout.split()[-1])))
