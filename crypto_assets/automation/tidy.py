"""Retention: once a day it removes old Delta versions, joins small files, and deletes old events and incidents.

It keeps the versions of the last days and every version that a dataset pins (``storage/pins.py``). In the event log it
keeps the newest event of each kind of every partition, because the UI and ``status`` count these, and all events of the
last days. The job's configuration has the numbers of days. Nothing is fetched.
"""

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import dagster as dg
from dagster import AssetKey, AssetObservation, DagsterInstance, DefaultScheduleStatus

from crypto_assets.assets.documented import OPERATIONS, documented
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.automation.schedules import UNFINISHED, waiting
from crypto_assets.errors import WarehouseError
from crypto_assets.lazy import lazy
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.settings import Settings
from crypto_assets.storage import pins
from crypto_assets.storage.compaction import tidy
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

if TYPE_CHECKING:
    import sqlalchemy
else:
    sqlalchemy = lazy("sqlalchemy")

ROWS_A_STATEMENT = 20_000  # short transactions, because ticks write to the same table
# The states of partitions are read from the newest event of each type, per partition. Older ones are superseded.
SUPERSEDED = """
DELETE FROM event_logs WHERE id IN (
  SELECT id FROM (
    SELECT id, run_id, timestamp, row_number() OVER (
      PARTITION BY asset_key, partition, dagster_event_type ORDER BY id DESC) AS place
    FROM event_logs WHERE asset_key IS NOT NULL) AS ranked
  WHERE place > 1 AND timestamp < :cutoff AND run_id <> ALL(:unfinished) LIMIT :rows)"""
# The details of a run: steps, inputs, outputs, log lines. The events of its start and end are kept.
RUN_DETAILS = """
DELETE FROM event_logs WHERE id IN (
  SELECT id FROM event_logs
  WHERE asset_key IS NULL AND timestamp < :cutoff AND run_id <> ALL(:unfinished)
    AND (dagster_event_type IS NULL OR dagster_event_type NOT LIKE 'PIPELINE_%') LIMIT :rows)"""
CHECKS = """
DELETE FROM asset_check_executions WHERE id IN (
  SELECT id FROM (
    SELECT id, create_timestamp, row_number() OVER (
      PARTITION BY asset_key, check_name, partition ORDER BY id DESC) AS place
    FROM asset_check_executions) AS ranked
  WHERE place > 1 AND create_timestamp < :cutoff LIMIT :rows)"""


class Retention(dg.Config):
    """How long things are kept.

    Attributes:
        versions_days: Days of table versions.
        events_days: Days of the event log.
        incidents_days: Days of closed incidents.
    """

    versions_days: int = 7
    events_days: int = 30
    incidents_days: int = 400  # a year and a month, so that the same month of last year is there


def prune(instance: DagsterInstance, before: datetime) -> dict[str, int]:
    """Delete old events from the event log that nothing counts.

    Args:
        instance: Has the event log.
        before: Only older events are deleted, UTC.

    Returns:
        Kind of events -> number of deleted rows; empty where the event log is no SQL database.
    """
    from crypto_assets.dagster_internals.core import SqlEventLogStorage  # brings SQLAlchemy

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return {}
    unfinished = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))]
    values = {"cutoff": before.astimezone(timezone.utc).replace(tzinfo=None), "unfinished": unfinished}
    deleted = {}
    for name, statement in (("superseded", SUPERSEDED), ("story", RUN_DETAILS), ("checks", CHECKS)):
        deleted[name] = 0
        given = values if ":unfinished" in statement else {"cutoff": values["cutoff"]}
        while True:
            with storage.index_connection() as connection:
                found = connection.execute(sqlalchemy.text(statement), {**given, "rows": ROWS_A_STATEMENT}).rowcount
            deleted[name] += found
            if found < ROWS_A_STATEMENT:
                break
    return deleted


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


@dg.op(description="Delete old events, except those from which coverage is counted.")
def tidy_event_log(context: dg.OpExecutionContext, config: Retention) -> None:
    """Prune the event log, see :func:`prune`."""
    deleted = prune(context.instance, datetime.now(timezone.utc) - timedelta(days=config.events_days))
    context.log.info(f"deleted from the event log: {deleted}")


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
