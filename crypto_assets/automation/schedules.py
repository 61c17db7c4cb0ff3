"""The ticks: the jobs and schedules that fill the tables. ``TableSpec.when`` says which tables a job fills."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

import dagster as dg
from dagster import AssetPartitionStatus

from crypto_assets.assets.documented import MODELS, OPERATIONS, documented
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.assets.shell import CALENDARS
from crypto_assets.dagster_internals.core import SCHEDULED_EXECUTION_TIME_TAG
from crypto_assets.settings import Settings
from crypto_assets.tables import registry
from crypto_assets.tables.spec import Cadence, When

FRESHNESS = registry.freshness()
SETTLES_AFTER = registry.settles_after()
INTRADAY_TABLES = registry.filled(When.TICK)
SETTLED_TABLES = registry.filled(When.SETTLE)
LATE_TABLES = registry.filled(When.NOON)
MONTHLY_TABLES = registry.filled(When.MONTH)
LATE_HOUR = 12
# Assets without partitions: they show the present, so nothing is backfilled or settled. The last four are no tables, but
# two pages and copies in Postgres.
UNPARTITIONED = (
    *registry.unpartitioned(), "data_quality_report", "model_report", "ml_features_latest", "signals_latest"
)  # fmt: skip

PRIORITY = {"dagster/priority": "10"}  # ticks come before backfills and refills in the queue
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def schedules(calendar: dg.PartitionsDefinition) -> list[dg.ScheduleDefinition]:
    """Build the schedules of the ticks and of the trainings.

    They fill the day in progress every 15 minutes, the closed day right after midnight, and the closed day again when the
    providers have published it. They are stopped by default, so that a new user decides when requests begin. A tick is
    skipped while the last run of its job waits or runs; the next tick fetches everything. Unsettled days are found by
    ``automation/planner/reasons/gaps.py``.

    Args:
        calendar: The partitions of all tables.

    Returns:
        The four schedules.
    """
    intraday, close, settle = _jobs(calendar)

    # Two minutes after the mark: CoinGecko's page is a minute old, and a features row decides five minutes after it.
    @dg.schedule(
        job=intraday,
        cron_schedule="2-59/15 * * * *",
        execution_timezone="UTC",
        description="Every 15 minutes: what the day in progress lacks. Off by default, because it asks providers.",
        **documented(OPERATIONS),
    )
    def every_15_minutes(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return _one_at_a_time(context, "intraday", utc_day(context), "tick: rows that the day in progress lacks")

    @dg.schedule(
        job=close,
        cron_schedule="10 0 * * *",
        execution_timezone="UTC",
        description="After midnight: the day that has just ended, whole. Off by default, because it asks providers.",
        **documented(OPERATIONS),
    )
    def close_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return _one_at_a_time(
            context, "close_day", utc_day(context) - timedelta(days=1), "tick: the last hour of the day that has ended"
        )

    # 06:30 is after Coin Metrics' usual lag; 12:30 catches a late one, and asks nobody else.
    @dg.schedule(
        job=settle,
        cron_schedule="30 6,12 * * *",
        execution_timezone="UTC",
        description="When every provider has yesterday: fetch it once more. Off by default, because it asks providers.",
        **documented(OPERATIONS),
    )
    def settle_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time or datetime.now(timezone.utc)
        late = LATE_TABLES if at.astimezone(timezone.utc).hour >= LATE_HOUR else ()
        why = "tick: every provider has the closed day by now"
        return _one_at_a_time(context, "settle", utc_day(context) - timedelta(days=1), why, late)

    return [every_15_minutes, close_yesterday, settle_yesterday, _monthly()]


def _monthly() -> dg.ScheduleDefinition:
    """Build the schedule of the trainings."""
    job = dg.define_asset_job(
        "train",
        dg.AssetSelection.assets(*MONTHLY_TABLES),
        partitions_def=CALENDARS[Cadence.MONTH],
        description="Train the models of the month that has begun.",
        **documented(MODELS),
    )

    # 13:00 is after the closed day was settled for the second time.
    @dg.schedule(
        job=job,
        cron_schedule="0 13 * * *",
        execution_timezone="UTC",
        description="Each day until the month's models are there: train them on what was known when the month began. Off by "
        "default, as the ticks are, because a training takes minutes and gigabytes.",
        **documented(MODELS),
    )
    def train_monthly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        first = utc_day(context).replace(day=1)
        for table in MONTHLY_TABLES:
            found = context.instance.get_status_by_partition(
                dg.AssetKey(table), [first.isoformat()], CALENDARS[Cadence.MONTH]
            )
            if not found or found.get(first.isoformat()) is not AssetPartitionStatus.MATERIALIZED:
                return _one_at_a_time(context, "train", first, "training: the month has begun")
        return dg.SkipReason(f"the models of {first:%Y-%m} are there")

    return train_monthly


def _jobs(calendar: dg.PartitionsDefinition) -> tuple[Any, Any, Any]:
    """The jobs of the day in progress, of the day that has just ended, and of the closed day."""
    tables = dg.AssetSelection.assets(*INTRADAY_TABLES)
    intraday = dg.define_asset_job(
        "intraday",
        tables,
        partitions_def=calendar,
        tags=PRIORITY,
        description="Fill the day in progress.",
        **documented(OPERATIONS),
    )
    close = dg.define_asset_job(
        "close_day",
        tables,
        partitions_def=calendar,
        tags=PRIORITY,
        description="Fetch the last hour of the day that has just ended.",
        **documented(OPERATIONS),
    )
    settle = dg.define_asset_job(
        "settle",
        dg.AssetSelection.assets(*SETTLED_TABLES),
        partitions_def=calendar,
        tags=PRIORITY,
        description="Fetch a closed day once more when every provider has it, and derive from it.",
        **documented(OPERATIONS),
    )
    return intraday, close, settle


def _one_at_a_time(
    context: dg.ScheduleEvaluationContext, job: str, day: date, reason: str, tables: Sequence[str] = ()
) -> dg.RunRequest | dg.SkipReason:
    if (last := Settings.from_env().last_day) is not None and day > last:
        return dg.SkipReason(f"the recordings of this demo's home end on {last}")
    if unfinished := waiting(context.instance, job, context.scheduled_execution_time):
        return dg.SkipReason(f"the last tick still waits or runs (run {unfinished}); the next tick fetches everything")
    only = [dg.AssetKey(table) for table in tables] or None
    return dg.RunRequest(partition_key=day.isoformat(), asset_selection=only, tags=reason_tags(reason))


def waiting(instance: dg.DagsterInstance, job: str, tick: datetime | None = None) -> str | None:
    """Return the id of a run of a job that waits or runs; None where there is none.

    A daemon that is killed between creating and launching the run of a tick evaluates the tick again and launches the
    existing run. So the run of this tick itself does not count: else that run would never be launched.

    Args:
        instance: Has the runs.
        job: The job.
        tick: The scheduled time of the tick; None: every run counts.

    Returns:
        The id.
    """
    own = tick.astimezone(timezone.utc).isoformat() if tick else None
    found = instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNFINISHED), limit=10)
    return next((run.run_id for run in found if own is None or run.tags.get(SCHEDULED_EXECUTION_TIME_TAG) != own), None)


def utc_day(context: dg.ScheduleEvaluationContext) -> date:
    """Return the UTC day of the scheduled time of a tick, which may be evaluated later."""
    return (context.scheduled_execution_time or datetime.now(timezone.utc)).astimezone(timezone.utc).date()
