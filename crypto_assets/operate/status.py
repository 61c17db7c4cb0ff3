"""The state of a range: partitions from Dagster, rows from the warehouse, checks computed now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

from crypto_assets.catalog import select
from crypto_assets.checks import enhanced_rows, freshness, population, state, universe
from crypto_assets.checks.every_measure import every_measure
from crypto_assets.checks.outcome import Measure, Scope
from crypto_assets.dagster_internals.known_states import KnownStates, known_states
from crypto_assets.runtime.home import open_instance, prepare
from crypto_assets.settings import Settings
from crypto_assets.storage.range_in_memory import RangeInMemory
from crypto_assets.tables.registry import TABLES

if TYPE_CHECKING:
    from dagster import DagsterInstance

BY_DAY = tuple(name for name, spec in TABLES.items() if spec.by_day and spec.is_asset)


def status_of_home(settings: Settings, start: date, end: date) -> dict[str, Any]:
    """Build the document of ``status --json``, without loading Dagster where nothing happened since it was last asked.

    Args:
        settings: the home and the warehouse.
        start: the first UTC day.
        end: the last UTC day, included.

    Returns:
        The document.

    Raises:
        InstanceError: Dagster's Postgres cannot be reached or used.
        WarehouseError: a table cannot be read.
    """
    prepare(settings)
    states = known_states(os.environ["DAGSTER_POSTGRES_URL"], BY_DAY)
    if states is not None:
        return status(states, settings, start, end)
    with open_instance(settings) as instance:
        return status(instance, settings, start, end)


def status(
    instance: DagsterInstance | KnownStates,
    settings: Settings,
    start: date,
    end: date,
    *,
    recorded: bool = False,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Build the document of ``status --json``.

    Args:
        instance: knows the partitions. Known states know of no run that is unfinished.
        settings: the warehouse.
        start: the first UTC day.
        end: the last UTC day, included.
        recorded: whether the rows are a replay, so that nothing of it can be late.
        now: the instant, UTC; by default the current time.

    Returns:
        The document.
    """
    now = now or datetime.now(timezone.utc)
    # Each table's commit log is read once, the rows of a small table are too, and Dagster is asked once.
    scope = Scope(RangeInMemory(settings.warehouse, start, end), settings, start, end, now, instance=instance)
    measures = every_measure()
    with _one_look(instance):
        assets = {table: _asset(instance, scope, table, measures[table], recorded) for table in BY_DAY}
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
        "delisted": {
            symbol: {"on": day.isoformat(), "why": why}
            for symbol, (day, why) in sorted(universe.delisted(scope).items())
        },
    }


def _one_look(instance: DagsterInstance | KnownStates) -> AbstractContextManager[None]:
    """Let Dagster be asked about all tables at once, after runs have ended whose process is gone."""
    if isinstance(instance, KnownStates):
        return nullcontext()
    from crypto_assets.assets.partition_states import one_look  # loads Dagster
    from crypto_assets.operate.runs import fail_dead_runs

    fail_dead_runs(instance)
    return one_look(instance, BY_DAY)


def _asset(
    instance: DagsterInstance | KnownStates, scope: Scope, table: str, measures: Mapping[str, Measure], recorded: bool
) -> dict[str, Any]:
    found = state.state_of(scope.warehouse, scope.settings, table, scope.start, scope.end, scope.now, instance)
    # The day in progress is on the calendar, but not expected yet.
    materialized = state.materialized_days(instance, table, scope.start, scope.end) & set(found.closed)
    newest = state.newest_in(scope.warehouse, table, scope.start, scope.end, scope.now)
    checks = {}
    for name, measure in measures.items():
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
            "materialized": len(materialized),
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
