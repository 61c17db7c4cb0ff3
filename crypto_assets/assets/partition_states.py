"""The partition states of a table as the UI shows them, for many days at once.

Dagster's own ``get_status_by_partition`` asks three subsets about every key, and each question hashes the whole calendar:
seconds for a table over six years. This module reads the ranges of days that the same subsets hold.
"""

from __future__ import annotations

from datetime import date, timezone

from dagster import AssetKey, DagsterInstance, DagsterRun
from dagster._core.definitions.partitions.subset import PartitionsSubset, TimeWindowPartitionsSubset
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from crypto_assets.assets.shell import DAILY
from crypto_assets.dates import DAY, days


def states_of(instance: DagsterInstance, table: str, first: date, last: date) -> dict[date, str]:
    """Read the states of a range of days.

    Args:
        instance: Has the runs.
        table: The table.
        first: First day, included.
        last: Last day, included.

    Returns:
        Day -> MATERIALIZED, FAILED or IN_PROGRESS; days that were never requested are absent.
    """
    known = get_and_update_asset_status_cache_value(instance, AssetKey(table), DAILY)
    if known is None:
        return {}
    # As in Dagster: a day that runs again is in progress; a day that failed after it was written is failed.
    found: dict[date, str] = {}
    for state, subset in (
        ("MATERIALIZED", known.deserialize_materialized_partition_subsets(DAILY)),
        ("FAILED", known.deserialize_failed_partition_subsets(DAILY)),
        ("IN_PROGRESS", known.deserialize_in_progress_partition_subsets(DAILY)),
    ):
        found.update(dict.fromkeys(_days(subset, first, last), state))
    return found


def left_failed(instance: DagsterInstance, table: str, first: date, last: date) -> set[date]:
    """Return the days of first..last whose newest finished run failed. A day that runs again counts until it is written."""
    known = get_and_update_asset_status_cache_value(instance, AssetKey(table), DAILY)
    return set() if known is None else set(_days(known.deserialize_failed_partition_subsets(DAILY), first, last))


def steps_of_run(instance: DagsterInstance, run: DagsterRun) -> set[str] | None:
    """Return the names of the steps in the plan of a run; None where the run has no plan.

    The step of an asset has the asset's name.
    """
    if run.execution_plan_snapshot_id is None:
        return None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return {str(key).split("[")[0] for key in plan.step_keys_to_execute}


def _days(subset: PartitionsSubset[str], first: date, last: date) -> list[date]:
    if not isinstance(subset, TimeWindowPartitionsSubset):
        return [day for key in subset.get_partition_keys() if first <= (day := date.fromisoformat(key)) <= last]
    return [
        day
        for window in subset.included_time_windows
        for day in days(
            max(first, window.start.astimezone(timezone.utc).date()),
            min(last, window.end.astimezone(timezone.utc).date() - DAY),
        )
    ]
