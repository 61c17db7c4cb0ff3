"""Internals of dagster (seen in 1.13.27)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timezone
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import dagster as dg

# The materialisation that a report of a check is about: ``dg.AssetCheckResult`` finds one of its own, of no day.
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as CheckTarget,
)

# Subsets of partitions that hold ranges of days.
from dagster._core.definitions.partitions.subset import PartitionsSubset, TimeWindowPartitionsSubset

# The error of a run that failed without a failed step: only the data of its event has it. The others make a batch of events
# of a step: only materialisations are batched by Dagster itself.
from dagster._core.events import DagsterEventBatchMetadata, JobFailureData, generate_event_batch_id

# Metadata of single partitions, all at once: ``add_asset_metadata`` lists the run's partitions and copies all metadata at each
# call, which takes seconds for a run over a year.
from dagster._core.execution.context.metadata_logging import AssetMetadataHandle, OutputMetadataAccumulator

# The error, description and metadata of a failed step: the type of the public ``DagsterEvent.step_failure_data``.
from dagster._core.execution.plan.objects import StepFailureData

# What a run launcher is given and answers: ``dg.RunLauncher`` has no public types, though launchers may be written.
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, ResumeRunContext, WorkerStatus
from dagster._core.launcher.base import RunLauncher

# Records of many assets by one query: what the cache of partitions below reads for each asset by itself otherwise.
from dagster._core.loader import LoadingContext

# The context and the streams of a compute log manager: the instance's file may name one, but no type of it is public.
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType

# The days of a table by their state: the public ``get_status_by_partition`` asks about each day by itself, which takes
# seconds for a table over six years.
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

# Names of tags: they are documented, but only ``dg.MAX_RUNTIME_SECONDS_TAG`` is exported.
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    GRPC_INFO_TAG,
    PARENT_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    SCHEDULE_NAME_TAG,
    SCHEDULED_EXECUTION_TIME_TAG,
    SENSOR_NAME_TAG,
    WILL_RETRY_TAG,
)

# Where a configured class of the instance comes from: ``from_config_value`` must take one.
from dagster._serdes import ConfigurableClassData

# The chain of causes of a failure: the type of ``StepFailureData.error``.
from dagster._utils.error import SerializableErrorInfo

# Loading the graph needs none of these, and they bring watchdog: __getattr__ imports them at first use.
if TYPE_CHECKING:
    # The base of our compute log manager: where files lie, how the UI reads them.
    from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION as IO_TYPE_EXTENSION
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager as LocalComputeLogManager

_AT_FIRST_USE = {
    "IO_TYPE_EXTENSION": "dagster._core.storage.local_compute_log_manager",
    "LocalComputeLogManager": "dagster._core.storage.local_compute_log_manager",
}

# The module of the daemon (``daemon.py``): its command ``dagster-daemon`` need not be beside the Python that runs.
DAEMON = "crypto_assets.dagster_internals.daemon"

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "BACKFILL_ID_TAG",
    "DAEMON",
    "GRPC_INFO_TAG",
    "IO_TYPE_EXTENSION",
    "PARENT_RUN_ID_TAG",
    "PARTITION_NAME_TAG",
    "SCHEDULED_EXECUTION_TIME_TAG",
    "SCHEDULE_NAME_TAG",
    "SENSOR_NAME_TAG",
    "WILL_RETRY_TAG",
    "CapturedLogContext",
    "CheckRunHealthResult",
    "CheckTarget",
    "ComputeIOType",
    "ConfigurableClassData",
    "JobFailureData",
    "LaunchRunContext",
    "LocalComputeLogManager",
    "Records",
    "ResumeRunContext",
    "SerializableErrorInfo",
    "StepFailureData",
    "WorkerStatus",
    "add_by_partition",
    "check_reports",
    "days_of_run",
    "instance_of",
    "is_executing",
    "keep_subsets",
    "newest_materialisation",
    "newest_materialisations",
    "partition_windows",
    "reports_of_ranges",
]

KEPT_SUBSETS = 16  # of one job; that of a whole graph is a few megabytes


def __getattr__(name: str) -> Any:
    if name in _AT_FIRST_USE:
        return getattr(import_module(_AT_FIRST_USE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Records(LoadingContext):
    """Dagster's records of some assets at one instant, read by one query."""

    def __init__(self, instance: dg.DagsterInstance, assets: Sequence[dg.AssetKey]) -> None:
        from dagster._core.storage.event_log.base import AssetRecord  # brings SQLAlchemy

        self._instance, self._loaders = instance, dict[type, Any]()
        AssetRecord.blocking_get_many(self, assets)

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance (Dagster's interface)."""
        return self._instance

    @property
    def loaders(self) -> dict[type, Any]:
        """What was read (Dagster's interface)."""
        return self._loaders


def days_of_run(tags: Mapping[str, str]) -> int:
    """Return how many days a run covers by its tags: 1 where it has no range."""
    start, end = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
    return (date.fromisoformat(end) - date.fromisoformat(start)).days + 1 if start and end else 1


def keep_subsets(job: dg.JobDefinition, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """Let a job that runs in this process keep its subsets of assets for the next run of the same assets, and run them so.

    ``execute_in_process`` builds the subset anew for each run, and the run's record builds it once more, with the snapshot
    that the record holds: a third of the time of a run of one table. A subset does not change, and holds nothing of a run.

    Args:
        job: the job; it is changed.
        executor: what runs the steps of a subset, in this process.

    Returns:
        The job.
    """
    build = job.as_ephemeral_job

    @lru_cache(maxsize=KEPT_SUBSETS)
    def kept(assets: frozenset[dg.AssetKey]) -> dg.JobDefinition:
        stock = build(resource_defs={}, input_values={}, asset_selection=list(assets))
        subset, of_the_record = stock.with_executor_def(executor), stock.get_subset(asset_selection=assets)
        subset.get_subset = lambda **_: of_the_record  # type: ignore[method-assign, assignment, misc]
        return subset

    def as_ephemeral_job(**given: Any) -> dg.JobDefinition:
        assets = frozenset(given.pop("asset_selection") or ())
        return build(**given) if not assets or any(given.values()) else kept(assets)

    job.as_ephemeral_job = as_ephemeral_job  # type: ignore[method-assign, assignment]
    return job


def partition_windows(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    calendar: dg.TimeWindowPartitionsDefinition,
    records: Records | None = None,
) -> dict[dg.AssetPartitionStatus, list[dg.TimeWindow]]:
    """Read the state of all partitions of an asset as ranges, from the cache that the UI shows.

    Args:
        instance: has the events.
        asset: the asset.
        calendar: its partitions.
        records: the asset's record where it was read before; by default it is read now.

    Returns:
        State to the windows in that state, disjoint. A window may be in several states, e.g. materialised and failed
        since. Empty where Dagster does not know the asset.
    """
    known = get_and_update_asset_status_cache_value(instance, asset, calendar, loading_context=records)
    if known is None:
        return {}
    subsets = {
        dg.AssetPartitionStatus.MATERIALIZED: known.deserialize_materialized_partition_subsets(calendar),
        dg.AssetPartitionStatus.FAILED: known.deserialize_failed_partition_subsets(calendar),
        dg.AssetPartitionStatus.IN_PROGRESS: known.deserialize_in_progress_partition_subsets(calendar),
    }
    return {state: _windows(subset, calendar) for state, subset in subsets.items()}


def _windows(subset: PartitionsSubset[str], calendar: dg.TimeWindowPartitionsDefinition) -> list[dg.TimeWindow]:
    if isinstance(subset, TimeWindowPartitionsSubset):
        return [dg.TimeWindow(window.start, window.end) for window in subset.included_time_windows]
    return [calendar.time_window_for_partition_key(key) for key in subset.get_partition_keys()]


def instance_of(launcher: RunLauncher[Any]) -> dg.DagsterInstance:
    """Return the instance that a run launcher is registered with: a subclass has it as a private attribute only.

    Raises:
        dagster.DagsterInvariantViolationError: it is registered with none.
    """
    return launcher._instance


def is_executing(server: Mapping[str, Any], run_id: str, timeout_s: int) -> bool | None:
    """Ask a code server whether one of its processes executes a run: it is their parent, so it knows.

    Args:
        server: ``host`` and ``port``, as the run's tag ``GRPC_INFO_TAG`` has them.
        run_id: the run.
        timeout_s: seconds to wait for the answer.

    Returns:
        Whether it does; also False while the run is being cancelled. None where the server does not answer.
    """
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient  # brings gRPC
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

    client = DagsterGrpcClient(host=server["host"], port=server["port"], use_ssl=bool(server.get("use_ssl")))
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=timeout_s)
    except DagsterUserCodeUnreachableError:
        return None
    return dg.deserialize_value(answer, CanCancelExecutionResult).can_cancel


def add_by_partition(step: Any, asset: dg.AssetKey, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Add metadata to the materialisations of single partitions, as ``add_asset_metadata(partition_key=...)`` does for one.

    Args:
        step: the context of the step that materialises the asset.
        asset: the asset.
        found: partition key -> metadata. It stands before what earlier calls added, and wins where names are equal.
    """
    known = dict(step._metadata_accumulator.per_output_metadata)
    for partition, metadata in found.items():
        handle = AssetMetadataHandle(asset_key=asset, partition_key=partition)
        former = {name: value for name, value in known.get(handle, {}).items() if name not in metadata}
        known[handle] = {**metadata, **former}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=known)


def check_reports(step: Any, reports: Collection[tuple[dg.AssetCheckEvaluation, str]]) -> Iterator[dg.DagsterEvent]:
    """Log reports of checks as one batch, so that the event log stores them together.

    Args:
        step: the context of the step that makes the checks.
        reports: each with its message.

    Yields:
        Their events, for the step to yield.
    """
    batch = generate_event_batch_id()
    for number, (report, message) in enumerate(reports, start=1):
        end = DagsterEventBatchMetadata(batch, number == len(reports))
        yield dg.DagsterEvent.from_step(dg.DagsterEventType.ASSET_CHECK_EVALUATION, step, report, message, end)


def newest_materialisations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Iterable[str]
) -> dict[str, CheckTarget]:
    """Find the newest materialisation of each partition in two queries, without reading the events.

    Args:
        instance: has the events.
        asset: the asset.
        keys: partition keys.

    Returns:
        Partition key -> its newest materialisation, of those that have one.
    """
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage as Storage
    from sqlalchemy import select

    storage, wanted = instance.event_log_storage, set(keys)
    if not wanted or not isinstance(storage, Storage):
        return {}
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    numbers = instance.get_latest_storage_id_by_partition(asset, kind, wanted)
    log = SqlEventLogStorageTable.c
    query = select(log.id, log.run_id, log.timestamp).where(log.id.in_(numbers.values()))
    with storage.index_connection() as connection:
        found = {
            number: CheckTarget(storage_id=number, run_id=run, timestamp=at.replace(tzinfo=timezone.utc).timestamp())
            for number, run, at in connection.execute(query)  # the log keeps UTC without saying so
        }
    return {key: found[number] for key, number in numbers.items() if number in found}


def newest_materialisation(instance: dg.DagsterInstance, asset: dg.AssetKey) -> CheckTarget | None:
    """Find the newest materialisation of an asset, of whatever partition; None where it has none."""
    records = instance.get_asset_records([asset])
    newest = records[0].asset_entry.last_materialization_record if records else None
    if newest is None:
        return None
    return CheckTarget(storage_id=newest.storage_id, run_id=newest.run_id, timestamp=newest.timestamp)


def reports_of_ranges(instance: dg.DagsterInstance, cursor: str | None, limit: int) -> list[dg.EventLogRecord]:
    """Read reports of checks that are of no partition; the log of our storage names the partition of the others.

    Args:
        instance: has the events.
        cursor: a storage id; those after it are read. None: the newest.
        limit: how many at most.

    Returns:
        The records in the order of their storage ids.
    """
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage as Storage
    from sqlalchemy import select

    storage = instance.event_log_storage
    if not isinstance(storage, Storage):
        return []
    log, kind = SqlEventLogStorageTable.c, dg.DagsterEventType.ASSET_CHECK_EVALUATION
    whole = select(log.id).where(log.dagster_event_type == kind.value, log.partition.is_(None))
    wanted = whole.order_by(log.id.desc()) if cursor is None else whole.where(log.id > int(cursor)).order_by(log.id)
    with storage.index_connection() as connection:
        numbers = list(connection.execute(wanted.limit(limit)).scalars())
    if not numbers:
        return []
    found = storage.get_event_records(dg.EventRecordsFilter(event_type=kind, storage_ids=numbers))
    return sorted(found, key=lambda record: record.storage_id)
