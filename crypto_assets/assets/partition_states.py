"""How a table's days stand, as the UI has them, for a whole calendar at once.

Dagster's own ``get_status_by_partition`` asks three subsets about every key, and a question costs them a hash of the
whole calendar: seconds for a table over six years. The same subsets hold ranges of days; read as such they cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, timezone
from typing import Any

from dagster import AssetKey, DagsterInstance, DagsterRun
from dagster._core.definitions.partitions.subset import PartitionsSubset, TimeWindowPartitionsSubset
from dagster._core.loader import LoadingContext
from dagster._core.storage.partition_status_cache import AssetStatusCacheValue, get_and_update_asset_status_cache_value

from crypto_assets.assets.shell import DAILY
from crypto_assets.dates import DAY, days


class _Look(LoadingContext):
    """The states of many tables at one instant: Dagster's records are read by one query, each table's states once."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance, self._loaders = instance, dict[type, Any]()
        self.known: dict[str, AssetStatusCacheValue | None] = {}

    @property
    def instance(self) -> DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict[type, Any]:
        return self._loaders


_look: ContextVar[_Look | None] = ContextVar("_look", default=None)


@contextmanager
def one_look(instance: DagsterInstance, tables: Iterable[str]) -> Iterator[None]:
    """Let every question inside about the states of these tables have the answer of one instant.

    Without it, each question is a query of its own. Nothing that is materialised meanwhile is seen inside.

    Args:
        instance: Dagster's.
        tables: what will be asked about.
    """
    from dagster._core.storage.event_log.base import AssetRecord  # brings SQLAlchemy

    look = _Look(instance)
    AssetRecord.blocking_get_many(look, [AssetKey(table) for table in tables])
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


def _known(instance: DagsterInstance, table: str) -> AssetStatusCacheValue | None:
    look = _look.get()
    if look is None or look.instance is not instance:
        return get_and_update_asset_status_cache_value(instance, AssetKey(table), DAILY)
    if table not in look.known:
        look.known[table] = get_and_update_asset_status_cache_value(
            instance, AssetKey(table), DAILY, loading_context=look
        )
    return look.known[table]


def states_of(instance: DagsterInstance, table: str, first: date, last: date) -> dict[date, str]:
    """Day -> MATERIALIZED, FAILED or IN_PROGRESS, over first..last; days that were never asked for are absent."""
    known = _known(instance, table)
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
    known = _known(instance, table)
    return set() if known is None else set(_days(known.deserialize_failed_partition_subsets(DAILY), first, last))


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
