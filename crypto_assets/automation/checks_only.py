"""A run of checks only, between the ticks: it catches the asset that *stopped*, whose own runs no longer check anything."""

from __future__ import annotations

import dagster as dg
from dagster import AssetCheckKey, AssetKey, AssetSelection, DefaultScheduleStatus

from crypto_assets.assets.documented import OPERATIONS, documented
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.automation.schedules import FRESHNESS, PRIORITY, waiting
from crypto_assets.checks import freshness, health
from crypto_assets.serving import online

CHECKS = (
    [AssetCheckKey(AssetKey(table), "fresh") for table in freshness.MEASURES]
    + [
        AssetCheckKey(AssetKey(table), "no_failed_partitions") for table in FRESHNESS
    ]  # where a step fails, its checks wait
    + [AssetCheckKey(AssetKey("api_usage"), name) for name in health.MEASURES]
    + [AssetCheckKey(AssetKey(online.TABLE), "fresh")]
    + [AssetCheckKey(AssetKey("quarantine"), "nothing_held")]  # no run materialises it
)

look_job = dg.define_asset_job(
    "look",
    AssetSelection.checks(*CHECKS),
    tags=PRIORITY,
    description="Freshness of every table, partitions left failed, rows held, disk, database: checks only, nothing is fetched.",
    **documented(OPERATIONS),
)


@dg.schedule(
    job=look_job,
    cron_schedule="10,25,40,55 * * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,  # no provider is asked
    description="Between the ticks: whether every table is fresh and nothing is left failed. It makes no provider calls.",
    **documented(OPERATIONS),
)
def checks_only(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    if unfinished := waiting(context.instance, "look", context.scheduled_execution_time):
        return dg.SkipReason(f"the former look still waits or runs (run {unfinished})")
    return dg.RunRequest(
        tags=reason_tags("checks only: between the ticks, every table is looked at and nothing is fetched")
    )


JOBS = [look_job]
SCHEDULES = [checks_only]
