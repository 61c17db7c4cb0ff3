"""The ticks: which jobs fill the tables, and when. What is in a job follows from the specs (``TableSpec.when``)."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

import dagster as dg

from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.dagster_internals.core import SCHEDULED_EXECUTION_TIME_TAG
from crypto_assets.tables import registry
from crypto_assets.tables.spec import When

FRESHNESS = registry.freshness()
SETTLES_AFTER = registry.settles_after()
INTRADAY_TABLES = registry.filled(When.TICK)
SETTLED_TABLES = registry.filled(When.SETTLE)
LATE_TABLES = registry.filled(When.NOON)
LATE_HOUR = 12
# Assets without partitions: made as time goes by, with nothing to backfill or to settle. The last two are no tables: a
# page, and a copy in Postgres.
OF_THE_MOMENT = (*registry.of_the_moment(), "data_quality_report", "ml_features_latest")

PRIORITY = {"dagster/priority": "10"}  # a tick goes before backfills and refills that wait
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def schedules(calendar: dg.PartitionsDefinition) -> list[dg.ScheduleDefinition]:
    """The day in progress every 15 minutes; the closed day right after midnight, and again once all have published it.

    Stopped by default: a new user without keys should choose the moment at which requests begin. A tick is skipped
    while the former one of its job waits or runs: what it would have fetched, the next one fetches, and a day left
    unsettled is found by ``automation/planner/reasons/gaps.py``.
    """
    tables = dg.AssetSelection.assets(*INTRADAY_TABLES)
    intraday = dg.define_asset_job(
        "intraday", tables, partitions_def=calendar, tags=PRIORITY, description="Fill the day in progress."
    )
    close = dg.define_asset_job(
        "close_day",
        tables,
        partitions_def=calendar,
        tags=PRIORITY,
        description="Fetch the last hour of the day that has just ended.",
    )
    settle = dg.define_asset_job(
        "settle",
        dg.AssetSelection.assets(*SETTLED_TABLES),
        partitions_def=calendar,
        tags=PRIORITY,
        description="Fetch a closed day once more when every provider has it, and derive from it.",
    )

    # Two minutes after the mark: CoinGecko's page is a minute old, and a features row decides five minutes after it.
    @dg.schedule(job=intraday, cron_schedule="2-59/15 * * * *", execution_timezone="UTC")
    def every_15_minutes(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return _one_at_a_time(context, "intraday", utc_day(context), "tick: what the day in progress lacks")

    @dg.schedule(job=close, cron_schedule="10 0 * * *", execution_timezone="UTC")
    def close_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return _one_at_a_time(
            context, "close_day", utc_day(context) - timedelta(days=1), "tick: the last hour of the day that has ended"
        )

    # 06:30 is after Coin Metrics' usual lag; 12:30 catches a late one, and asks nobody else.
    @dg.schedule(job=settle, cron_schedule="30 6,12 * * *", execution_timezone="UTC")
    def settle_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time or datetime.now(timezone.utc)
        late = LATE_TABLES if at.astimezone(timezone.utc).hour >= LATE_HOUR else ()
        why = "tick: every provider has the closed day by now"
        return _one_at_a_time(context, "settle", utc_day(context) - timedelta(days=1), why, late)

    return [every_15_minutes, close_yesterday, settle_yesterday]


def _one_at_a_time(
    context: dg.ScheduleEvaluationContext, job: str, day: date, reason: str, tables: Sequence[str] = ()
) -> dg.RunRequest | dg.SkipReason:
    if unfinished := waiting(context.instance, job, context.scheduled_execution_time):
        return dg.SkipReason(f"the former tick still waits or runs (run {unfinished}); the next one fetches all of it")
    only = [dg.AssetKey(table) for table in tables] or None
    return dg.RunRequest(partition_key=day.isoformat(), asset_selection=only, tags=reason_tags(reason))


def waiting(instance: dg.DagsterInstance, job: str, tick: datetime | None = None) -> str | None:
    """The id of a run of this job that waits or runs, if there is one; not one of this very ``tick``.

    A daemon that was killed between making a tick's run and handing it over evaluates the tick again, and hands over
    the run that is there: a tick that waited for its own run would leave it lying.
    """
    own = tick.astimezone(timezone.utc).isoformat() if tick else None
    found = instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNFINISHED), limit=10)
    return next((run.run_id for run in found if own is None or run.tags.get(SCHEDULED_EXECUTION_TIME_TAG) != own), None)


def utc_day(context: dg.ScheduleEvaluationContext) -> date:
    """The UTC day of the tick, not of its evaluation: a tick that is made up for belongs to its own day."""
    return (context.scheduled_execution_time or datetime.now(timezone.utc)).astimezone(timezone.utc).date()
