"""Cadence and freshness by layer: who runs when, and when is it late.

Freshness is about rows: a table is fresh while its newest ``available_at`` is younger than ``late_after``. The
Dagster freshness policy beside it watches materialisations; the freshness checks watch the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

import dagster as dg
from dagster._core.storage.tags import SCHEDULED_EXECUTION_TIME_TAG

from crypto_assets.automation.planner.tags import reason_tags
from crypto_assets.tables.context import COMMUNITY_LAG
from crypto_assets.tables.schemas import COINMETRICS_LAG, DEFILLAMA_LAG, FEAR_GREED_LAG


@dataclass(frozen=True)
class Freshness:
    """How old the newest row of a table may be, and after how long without a materialisation Dagster warns."""

    warn_after: timedelta
    late_after: timedelta

    def policy(self) -> dg.FreshnessPolicy:
        return dg.FreshnessPolicy.time_window(fail_window=self.late_after, warn_window=self.warn_after)


# An hour's row is owed by the second tick after it (the first may find the provider's page of before, and the last row
# of a day comes with its close): what is not there when the third is due is late.
_INTRADAY = Freshness(timedelta(minutes=45), timedelta(hours=1, minutes=30))
_DAILY = Freshness(timedelta(hours=36), timedelta(hours=48))
# News arrives when there is news: a quiet night is not a failure.
_NEWS = Freshness(timedelta(hours=6), timedelta(hours=24))

FRESHNESS: dict[str, Freshness] = {
    "prices": _INTRADAY,
    "ohlc": _INTRADAY,
    "onchain_base": _DAILY,
    "onchain_enhanced": _DAILY,
    "defi_metrics": _DAILY,
    "market_sentiment": _DAILY,
    "news_articles": _NEWS,
    "article_narratives": _NEWS,
    "narratives": _INTRADAY,
    "theme_trends": _DAILY,
    "theme_digests": _DAILY,
    "ml_features": _INTRADAY,
    "kraken_ohlc": _INTRADAY,
    "derivatives": _INTRADAY,
    "social_metrics": _DAILY,
    "developer_activity": _DAILY,
    "defi_protocols": _DAILY,
    "defi_yields": _DAILY,
    "api_usage": _DAILY,
}

INTRADAY_TABLES = (
    "prices",
    "ohlc",
    "kraken_ohlc",
    "derivatives",
    "news_articles",
    "article_narratives",
    "narratives",
    "ml_features",
    "market_sentiment",
    "defi_protocols",  # of these two the first look of a day counts; the day's other ticks make no call
    "defi_yields",
    "api_usage",
)

# Assets without partitions: made as time goes by, with nothing to backfill or to settle (monitoring/).
OF_THE_MOMENT = ("freshness_observations", "slo_report", "history_report", "data_quality_report", "ml_features_latest")
# A call a coin and day each, whole ten minutes after midnight: the close of the day settles them.
CLOSED_TABLES = ("prices", "ohlc", "kraken_ohlc")
# What may still be missing at noon, and what is derived from it.
LATE_TABLES = ("onchain_base", "onchain_enhanced", "defi_metrics", "market_sentiment", "ml_features", "api_usage")
LATE_HOUR = 12

# How long after a day's end its provider has the whole of it. A fetch later than that settles the day. Tables that are
# not named show the present only, or are derived: those follow their inputs.
SETTLES_AFTER: dict[str, timedelta] = {
    "prices": timedelta(minutes=8),  # the last hour's point comes seconds after midnight, and is cached for minutes
    "ohlc": timedelta(minutes=8),
    "kraken_ohlc": timedelta(minutes=8),
    "news_articles": timedelta(minutes=8),
    "market_sentiment": FEAR_GREED_LAG,
    "defi_metrics": DEFILLAMA_LAG,
    "social_metrics": COMMUNITY_LAG,
    "developer_activity": COMMUNITY_LAG,
    "onchain_base": COINMETRICS_LAG,
}

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
        # What has no days: what is of the moment, and the janitor's asset in a cluster.
        dg.AssetSelection.all()
        - dg.AssetSelection.assets(*OF_THE_MOMENT, *CLOSED_TABLES)
        - dg.AssetSelection.groups("cluster"),
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
