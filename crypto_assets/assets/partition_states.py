"""The partition states of a table as the UI shows them, for many days at once.

Dagster's own ``get_status_by_partition`` asks three subsets about every key, and each question hashes the whole calendar:
seconds for a table over six years. This module reads the ranges of days that the same subsets hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timezone

from dagster import AssetKey, AssetPartitionStatus, DagsterInstance, DagsterRun, TimeWindow

from crypto_assets.assets.shell import DAILY
from crypto_assets.dagster_internals.core import partition_windows
from crypto_assets.dates import DAY, days


def states_of(instance: DagsterInstance, table: str, first: date, last: date) -> dict[date, str]:
    """Day -> MATERIALIZED, FAILED or IN_PROGRESS, over first..last; days that were never asked for are absent."""
    windows = partition_windows(instance, AssetKey(table), DAILY)
    # As in Dagster: a day that runs again is in progress, one that failed since it was written has failed.
    found: dict[date, str] = {}
    for state in (AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED, AssetPartitionStatus.IN_PROGRESS):
        found.update(dict.fromkeys(_days(windows.get(state, ()), first, last), state.value))
    return found


def left_failed(instance: DagsterInstance, table: str, first: date, last: date) -> set[date]:
    """Days whose newest run that ended failed: one that is tried again has failed until it is there."""
    windows = partition_windows(instance, AssetKey(table), DAILY)
    return set(_days(windows.get(AssetPartitionStatus.FAILED, ()), first, last))


def steps_of_run(instance: DagsterInstance, run: DagsterRun) -> set[str] | None:
    """Return the names of the steps in the plan of a run; None where the run has no plan.

    The step of an asset has the asset's name.
    """
    if run.execution_plan_snapshot_id is None:
        return None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return {str(key).split("[")[0] for key in plan.step_keys_to_execute}


def _days(windows: Iterable[TimeWindow], first: date, last: date) -> list[date]:
    return [
        day
        for window in windows
        for day in days(
            max(first, window.start.astimezone(timezone.utc).date()),
            min(last, window.end.astimezone(timezone.utc).date() - DAY),
        )
    ]
