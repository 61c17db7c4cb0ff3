"""The freshness job: observe freshness and compute the service level every 15 minutes, whatever else is running.

It runs by default, because it only reads tables. It goes before ticks and backfills in the queue, because a missed slot
cannot be observed later.
"""

from __future__ import annotations

import dagster as dg

from crypto_assets.assets.documented import OPERATIONS, documented
from crypto_assets.assets.run_tags import reason_tags

FIRST = {"dagster/priority": "100"}

observe = dg.define_asset_job(
    "observe",
    dg.AssetSelection.assets("freshness_observations", "slo_report"),
    tags=FIRST,
    description="See which tables are fresh now, and how often they were recently.",
    **documented(OPERATIONS),
)

observe_every_15_minutes = dg.ScheduleDefinition(
    name="observe_every_15_minutes",
    job=observe,
    cron_schedule="7-59/15 * * * *",  # after the tick of the same quarter has written
    tags=reason_tags("observation: every 15 minutes, which tables are fresh is noted"),
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every 15 minutes: which tables are fresh. It makes no provider calls.",
    **documented(OPERATIONS),
)

report = dg.define_asset_job(
    "report",
    dg.AssetSelection.assets("history_report", "data_quality_report"),
    description="Record how much of the history is there, then write the data quality page, with its figures as metadata.",
    **documented(OPERATIONS),
)

report_four_times_a_day = dg.ScheduleDefinition(
    name="report_four_times_a_day",
    job=report,
    cron_schedule="20 1,7,13,19 * * *",  # after the days were settled
    tags=reason_tags("report: four times a day, how much of the history is there is noted"),
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Four times a day: how much of the history is there. It makes no provider calls.",
    **documented(OPERATIONS),
)

JOBS = [observe, report]
SCHEDULES = [observe_every_15_minutes, report_four_times_a_day]
