"""The job and schedule of checks between the ticks. They also check a table that no run materialises any more."""

from __future__ import annotations

import dagster as dg
from dagster import AssetCheckKey, AssetKey, AssetSelection, DefaultScheduleStatus

from crypto_assets.assets.documented import OPERATIONS, documented
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.automation.schedules import FRESHNESS, PRIORITY, waiting
from crypto_assets.checks import freshness, health
from crypto_assets.serving import online, online_asset

CHECKS = (
    [AssetCheckKey(AssetKey(table), "fresh") for table in freshness.MEASURES]
    + [AssetCheckKey(AssetKey(table), "no_failed_partitions") for table in FRESHNESS]  # a failed step makes no checks
    + [AssetCheckKey(AssetKey("api_usage"), name) for name in health.MEASURES]
    + [AssetCheckKey(AssetKey(name), "fresh") for name in (online.TABLE, online_asset.SIGNALS_LATEST)]
    + [AssetCheckKey(AssetKey("quarantine"), "nothing_held")]  # no run materialises it
)

checks_job = dg.define_asset_job(
    "look",
    AssetSelection.checks(*CHECKS),
    tags=PRIORITY,
    description="Freshness of every table, failed partitions, held prices, disk, database: checks only, nothing is fetched.",
    **documented(OPERATIONS),
)


@dg.schedule(
    job=checks_job,
    cron_schedule="10,25,40,55 * * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,  # no provider is asked
    description="Between the ticks: whether every table is fresh and nothing is left failed. It makes no provider calls.",
    **documented(OPERATIONS),
)
def checks_only(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request the checks, unless their last run has not ended."""
    if unfinished := waiting(context.instance, "look", context.scheduled_execution_time):
        return dg.SkipReason(f"the last run of the checks still waits or runs (run {unfinished})")
    return dg.RunRequest(tags=reason_tags("checks only: between the ticks every table is checked, nothing is fetched"))


JOBS = [checks_job]
SCHEDULES = [checks_only]
