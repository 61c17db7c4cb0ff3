"""The truth about a range: partitions as Dagster has them, rows as the warehouse has them, checks computed now."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

from dagster import DagsterInstance

from crypto_assets.catalog import select
from crypto_assets.checks import coverage, measures, population
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.operate import graph, runs
from crypto_assets.operate.backfill import partition_statuses
from crypto_assets.partitions import DAY, days, midnight
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse


def status(
    instance: DagsterInstance, settings: Settings, start: date, end: date, *, recorded: bool = False
) -> dict[str, Any]:
    """The document of ``status --json``. ``recorded``: the rows are a replay, so nothing of it can be late."""
    runs.bury_dead_runs(instance)
    scope = Scope(Warehouse(settings.warehouse), settings, start, end, datetime.now(timezone.utc))
    assets = {table: _asset(instance, scope, table, recorded) for table in graph.tables()}
    filled = population.measure_population(scope)
    enhanced, base = coverage.enhanced_ratio(scope)
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
    # The day in progress is on the calendar but not expected yet.
    closed = [day for day in days(scope.start, scope.end) if midnight(day + DAY) <= scope.now]
    found = partition_statuses(instance, table, closed)
    materialized = sum(state == "MATERIALIZED" for state in found.values())
    newest = scope.warehouse.newest_available_at(table, scope.start, scope.end)
    checks = {}
    for name, measure in every_measure()[table].items():
        outcome = measure(scope)
        checks[name] = {
            "passed": outcome.passed,
            "severity": outcome.severity,
            "description": outcome.description,
        }
    return {
        "partitions": {
            "expected": len(closed),
            "materialized": materialized,
            "failed": sum(state == "FAILED" for state in found.values()),
        },
        "coverage": materialized / len(closed) if closed else 1.0,
        "rows": sum(scope.warehouse.days_with_rows(table, scope.start, scope.end).values()),
        "newest_available_at": newest.isoformat() if newest else None,
        "fresh": None if recorded else measures.fresh_now(scope, table),
        "checks": checks,
    }
