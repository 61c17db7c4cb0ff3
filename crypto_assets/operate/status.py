"""The state of a range: partitions from Dagster, rows from the warehouse, checks computed now."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

from dagster import DagsterInstance

from crypto_assets.assets.partition_states import one_look
from crypto_assets.catalog import select
from crypto_assets.checks import enhanced_rows, freshness, population, state
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.operate import graph, runs
from crypto_assets.operate.backfill import partition_statuses
from crypto_assets.settings import Settings
from crypto_assets.storage.snapshot import SnapshotWarehouse


def status(
    instance: DagsterInstance,
    settings: Settings,
    start: date,
    end: date,
    *,
    recorded: bool = False,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Build the document of ``status --json``.

    Args:
        instance: knows the partitions.
        settings: the warehouse.
        start: the first UTC day.
        end: the last UTC day, included.
        recorded: whether the rows are a replay, so that nothing of it can be late.
        now: the instant, UTC; by default the current time.

    Returns:
        The document.
    """
    runs.fail_dead_runs(instance)
    now = now or datetime.now(timezone.utc)
    # Each table's commit log is read once, and Dagster is asked once.
    scope = Scope(SnapshotWarehouse(settings.warehouse), settings, start, end, now, instance=instance)
    with one_look(instance, graph.tables()):
        assets = {table: _asset(instance, scope, table, recorded) for table in graph.tables()}
    filled = population.measure_population(scope)
    enhanced, base = enhanced_rows.enhanced_ratio(scope)
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "assets": assets,
        "population": {
            "overall": filled.overall,
            "expected_population": filled.expected_overall,
            "columns": filled.columns(),
            "expected_columns": filled.expected_columns(),
            "groups": filled.groups(),
            "coins": filled.by_coin(),
            "ten_onchain_fields": population.ten_fields(filled, select(settings.coins)),
            "not_given": filled.wanted.not_given,
            "rows": filled.rows,
        },
        "enhanced_over_base": enhanced / base if base else 0.0,
    }


def _asset(instance: DagsterInstance, scope: Scope, table: str, recorded: bool) -> dict[str, Any]:
    found = state.state_of(scope.warehouse, scope.settings, table, scope.start, scope.end, scope.now, instance)
    # The day in progress is on the calendar, but not expected yet.
    partitions = partition_statuses(instance, table, found.closed)
    newest = state.newest_in(scope.warehouse, table, scope.start, scope.end, scope.now)
    checks = {}
    for name, measure in every_measure()[table].items():
        outcome = measure(scope)
        checks[name] = {
            "passed": outcome.passed,
            "severity": outcome.severity,
            "description": outcome.description,
        }
    current = None if recorded else freshness.freshness_in(scope, table)
    return {
        "state": found.status,
        "partitions": {
            "expected": len(found.closed),
            "materialized": sum(status == "MATERIALIZED" for status in partitions.values()),
            "failed": len(set(found.failed or ()) & set(found.closed)),
        },
        "coverage": found.coverage,
        "days_due": len(found.due),
        "days_with_rows": len(found.with_rows),
        "rows": found.rows,
        "newest_available_at": newest.isoformat() if newest else None,
        "fresh": None if current is None else current.fresh,
        "checks": checks,
    }
