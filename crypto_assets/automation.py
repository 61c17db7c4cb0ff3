"""Cadence and freshness by layer: who runs when, and when is it late.

Freshness is about rows: a table is fresh while its newest ``available_at`` is younger than ``late_after``. The
Dagster freshness policy beside it watches materialisations; the freshness checks watch the rows.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

import dagster as dg


@dataclass(frozen=True)
class Freshness:
    """How old the newest row of a table may be, and how old before it is worth a warning."""

    warn_after: timedelta
    late_after: timedelta

    def policy(self) -> dg.FreshnessPolicy:
        return dg.FreshnessPolicy.time_window(fail_window=self.late_after, warn_window=self.warn_after)


_INTRADAY = Freshness(timedelta(hours=1, minutes=30), timedelta(hours=3))
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
)


def schedules(calendar: dg.PartitionsDefinition) -> list[dg.ScheduleDefinition]:
    """The day in progress every 15 minutes; the closed day settled once every provider has published it.

    Stopped by default: a new user without keys should choose the moment at which requests begin.
    """
    intraday = dg.define_asset_job(
        "intraday",
        dg.AssetSelection.assets(*INTRADAY_TABLES, "market_sentiment"),
        partitions_def=calendar,
        description="Fill the day in progress.",
    )
    settle = dg.define_asset_job(
        "settle",
        dg.AssetSelection.all() - dg.AssetSelection.groups("cluster"),  # the janitor's asset has no days
        partitions_def=calendar,
        description="Fetch a closed day once more when every provider has it, and derive from it.",
    )

    @dg.schedule(job=intraday, cron_schedule="*/15 * * * *", execution_timezone="UTC")
    def every_15_minutes(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(partition_key=_utc_day(context).isoformat())

    # 06:30 is after Coin Metrics' usual lag; 12:30 catches a late one.
    @dg.schedule(job=settle, cron_schedule="30 6,12 * * *", execution_timezone="UTC")
    def settle_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(partition_key=(_utc_day(context) - timedelta(days=1)).isoformat())

    return [every_15_minutes, settle_yesterday]


def _utc_day(context: dg.ScheduleEvaluationContext) -> date:
    return (context.scheduled_execution_time or datetime.now(timezone.utc)).astimezone(timezone.utc).date()
