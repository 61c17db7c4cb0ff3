"""How a table's days stand, as the UI has them, for a whole calendar at once.

Dagster's own ``get_status_by_partition`` asks three subsets about every key, and a question costs them a hash of the
whole calendar: seconds for a table over six years. The same subsets hold ranges of days; read as such they cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timezone
from typing import NamedTuple

from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.definitions.partitions.subset import PartitionsSubset, TimeWindowPartitionsSubset
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from sqlalchemy import select

from crypto_assets.assets.shell import DAILY
from crypto_assets.dates import DAY, days


def states_of(instance: DagsterInstance, table: str, first: date, last: date) -> dict[date, str]:
    """Day -> MATERIALIZED, FAILED or IN_PROGRESS, over first..last; days that were never asked for are absent."""
    known = get_and_update_asset_status_cache_value(instance, AssetKey(table), DAILY)
    if known is None:
        return {}
    # As in Dagster: a day that runs again is in progress, one that failed since it was written has failed.
    found: dict[date, str] = {}
    for state, subset in (
        ("MATERIALIZED", known.deserialize_materialized_partition_subsets(DAILY)),
        ("FAILED", known.deserialize_failed_partition_subsets(DAILY)),
        ("IN_PROGRESS", known.deserialize_in_progress_partition_subsets(DAILY)),
    ):
        found.update(dict.fromkeys(_days(subset, first, last), state))
    return found


def left_failed(instance: DagsterInstance, table: str, first: date, last: date) -> set[date]:
    """Days whose newest run that ended failed: one that is tried again has failed until it is there."""
    known = get_and_update_asset_status_cache_value(instance, AssetKey(table), DAILY)
    return set() if known is None else set(_days(known.deserialize_failed_partition_subsets(DAILY), first, last))


class Materialised(NamedTuple):
    """Where the event log has a day's newest materialisation: its number, its run and its time in epoch seconds."""

    storage_id: int
    run_id: str
    timestamp: float


def newest_materialised(instance: DagsterInstance, table: str, wanted: Collection[date]) -> dict[date, Materialised]:
    """Day -> its newest materialisation, of those that have one; in two queries, without reading the events."""
    storage = instance.event_log_storage
    if not wanted or not isinstance(storage, SqlEventLogStorage):
        return {}
    keys = {day.isoformat() for day in wanted}
    numbers = instance.get_latest_storage_id_by_partition(AssetKey(table), DagsterEventType.ASSET_MATERIALIZATION, keys)
    log = SqlEventLogStorageTable.c
    query = select(log.id, log.run_id, log.timestamp).where(log.id.in_(numbers.values()))
    with storage.index_connection() as connection:
        found = {row[0]: Materialised(row[0], row[1], _epoch(row[2])) for row in connection.execute(query)}
    return {date.fromisoformat(key): found[number] for key, number in numbers.items() if number in found}


def _epoch(moment: datetime) -> float:
    return moment.replace(tzinfo=timezone.utc).timestamp()  # the log keeps UTC without saying so


def steps_of_run(instance: DagsterInstance, run: DagsterRun) -> set[str] | None:
    """The steps that a run makes, from its plan: an asset's step has the asset's name, a check's or an op's its own.

    None where the run has no plan, so that nobody can say.
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
