"""Retention: once a day it removes old Delta versions, joins small files, and deletes old runs, events and incidents.

It keeps the versions of the last days and every version that a dataset pins (``storage/pins.py``). Of Dagster's history it
keeps the last days, and from before what the states of partitions, assets and checks rest on (``prune.py``). The job's
configuration has the numbers of days. Nothing is fetched.
"""

from datetime import datetime, timedelta, timezone

import dagster as dg
from dagster import AssetKey, AssetObservation, DefaultScheduleStatus

from crypto_assets.assets.documented import OPERATIONS, documented
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.automation.prune import prune
from crypto_assets.automation.schedules import waiting
from crypto_assets.checks.health import RUNS_DAYS
from crypto_assets.errors import WarehouseError
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.settings import Settings
from crypto_assets.storage import pins
from crypto_assets.storage.compaction import tidy
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

REBUILD_ON = 7  # Sunday: the indexes of Dagster's tables are built anew


class Retention(dg.Config):
    """How long things are kept.

    Attributes:
        versions_days: Days of table versions.
        events_days: Days of all that runs left; by default CRYPTO_ASSETS_HISTORY_DAYS.
        runs_days: Days of runs, with their start and end; of failed ones with all that they left.
        results_days: Days of the newest result of each check on each day.
        incidents_days: Days of closed incidents.
    """

    versions_days: int = 7
    events_days: int | None = None
    runs_days: int = RUNS_DAYS
    results_days: int = 400
    incidents_days: int = 400  # a year and a month, so that the same month of last year is there


@dg.op(description="Join small files, remove files that no kept version needs, and record the result with each table.")
def tidy_tables(context: dg.OpExecutionContext, config: Retention) -> None:
    """Tidy every table. A table that fails does not stop the others; then the step fails with its WarehouseError."""
    warehouse = Warehouse(Settings.from_env().warehouse)
    pinned = pins.pinned(warehouse)
    broken: WarehouseError | None = None
    for table in CONTRACTS:
        try:
            done = tidy(warehouse, table, timedelta(days=config.versions_days), pinned.get(table, ()))
        except WarehouseError as error:  # the other tables are still tidied; then the step fails
            broken = broken or error
            continue
        if done is not None:
            numbers = {"files": done.files, "stored_mb": round(done.bytes / 1e6, 3), "versions": done.versions_kept}
            more = {"days_joined": done.joined_days, "files_removed": done.removed_files}
            context.log_event(AssetObservation(AssetKey(table), metadata={**numbers, **more}))
    if broken is not None:
        raise broken


@dg.op(description="Delete old runs, events, ticks and logs on which no state of a partition, check or asset rests.")
def tidy_event_log(context: dg.OpExecutionContext, config: Retention) -> None:
    """Prune Dagster's history, see :func:`prune`. InstanceError: Postgres does not take the deletions."""
    days = config.events_days or Settings.from_env().history_days
    now = datetime.now(timezone.utc)
    kept = (days, max(days, config.runs_days), max(days, config.results_days))
    instants = (now - timedelta(days=number) for number in kept)
    done = prune(context.instance, *instants, rebuild=now.isoweekday() == REBUILD_ON)
    if done is None:
        context.log.info(
            "another run prunes this database, or its history does not lie in one Postgres: nothing was freed"
        )
        return
    context.add_output_metadata({**done.metadata(), "days_kept": days})
    context.log.info(f"freed: {done.rows}{'' if done.done else '; the next run goes on'}")


@dg.op(description="Delete incidents that were closed long ago, with their messages.")
def tidy_alerts(context: dg.OpExecutionContext, config: Retention) -> None:
    """Delete closed incidents. InstanceError: Postgres cannot be reached."""
    url = Settings.from_env().postgres_url
    if url is None:
        context.log.info(
            "incidents are kept in Dagster's Postgres, and DAGSTER_POSTGRES_URL is not set: none were deleted"
        )
        return
    before = datetime.now(timezone.utc) - timedelta(days=config.incidents_days)
    context.log.info(f"deleted incidents: {Ledger(url.get_secret_value()).forget(before)}")


@dg.job(
    description="Remove old versions of tables, old events and old incidents.",
    tags={"dagster/priority": "-10"},
    **documented(OPERATIONS),
)
def tidy_up() -> None:
    """Run the three steps of retention."""
    tidy_tables()
    tidy_event_log()
    tidy_alerts()


@dg.schedule(
    job=tidy_up,
    cron_schedule="40 3 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Once a day: old versions of tables, old events and old incidents cut back. It makes no provider calls.",
    **documented(OPERATIONS),
)
def tidy_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request retention once a day, in the quiet hours between two settlings."""
    if unfinished := waiting(context.instance, "tidy_up", context.scheduled_execution_time):
        return dg.SkipReason(f"its last run still waits or runs (run {unfinished})")
    return dg.RunRequest(tags=reason_tags("retention: once a day, old versions, events and incidents are removed"))


JOBS = [tidy_up]
SCHEDULES = [tidy_daily]
