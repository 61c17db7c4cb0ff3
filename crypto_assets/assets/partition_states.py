"""The partition states of a table as the UI shows them, for many days at once.

Dagster's own ``get_status_by_partition`` asks three subsets about every key, and each question hashes the whole calendar:
seconds for a table over six years. This module reads the ranges of days that the same subsets hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, timezone

from dagster import AssetKey, AssetPartitionStatus, DagsterInstance, DagsterRun, TimeWindow

from crypto_assets.assets.shell import calendar_of
from crypto_assets.dagster_internals.core import Records, partition_windows
from crypto_assets.dates import DAY, days
from crypto_assets.tables.registry import TABLES

Windows = dict[AssetPartitionStatus, list[TimeWindow]]


@dataclass(frozen=True)
class _Look:
    """The states of many tables at one instant."""

    instance: DagsterInstance
    records: Records
    known: dict[str, Windows] = field(default_factory=dict)


_look: ContextVar[_Look | None] = ContextVar("_look", default=None)


@contextmanager
def one_look(instance: DagsterInstance, tables: Iterable[str]) -> Iterator[None]:
    """Let every question inside about the states of these tables have the answer of one instant.

    Without it, each question is a query of its own. Nothing that is materialised meanwhile is seen inside.

    Args:
        instance: Dagster's.
        tables: what will be asked about.
    """
    token = _look.set(_Look(instance, Records(instance, [AssetKey(table) for table in tables])))
    try:
        yield
    finally:
        _look.reset(token)


def _windows(instance: DagsterInstance, table: str) -> Windows:
    look = _look.get()
    if look is None or look.instance is not instance:
        return partition_windows(instance, AssetKey(table), calendar_of(table))
    if table not in look.known:
        look.known[table] = partition_windows(instance, AssetKey(table), calendar_of(table), look.records)
    return look.known[table]


def states_of(instance: DagsterInstance, table: str, first: date, last: date) -> dict[date, str]:
    """Day -> MATERIALIZED, FAILED or IN_PROGRESS, over first..last; days that were never asked for are absent."""
    windows = _windows(instance, table)
    # As in Dagster: a day that runs again is in progress, one that failed since it was written has failed.
    found: dict[date, str] = {}
    for state in (AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED, AssetPartitionStatus.IN_PROGRESS):
        found.update(dict.fromkeys(_days(table, windows.get(state, ()), first, last), state.value))
    return found


def left_failed(instance: DagsterInstance, table: str, first: date, last: date) -> set[date]:
    """Days whose newest run that ended failed: one that is tried again has failed until it is there."""
    windows = _windows(instance, table)
    return set(_days(table, windows.get(AssetPartitionStatus.FAILED, ()), first, last))


def steps_of_run(instance: DagsterInstance, run: DagsterRun) -> set[str] | None:
    """Return the names of the steps in the plan of a run; None where the run has no plan.

    The step of an asset has the asset's name.
    """
    if run.execution_plan_snapshot_id is None:
        return None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return {str(key).split("[")[0] for key in plan.step_keys_to_execute}


def _days(table: str, windows: Iterable[TimeWindow], first: date, last: date) -> list[date]:
    """Return the days of first..last on which a partition of these windows begins."""
    cadence = TABLES[table].cadence
    return [
        day
        for window in windows
        for day in days(
            max(first, window.start.astimezone(timezone.utc).date()),
            min(last, window.end.astimezone(timezone.utc).date() - DAY),
        )
        if cadence.has(day)
    ]
