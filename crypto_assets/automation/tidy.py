"""What grows without end is cut back once a day: old Delta versions, small files, events, incidents. Nothing is fetched.

Kept: every version that a dataset pins (``storage/pins.py``) and those of the last days; of the event log the newest
event of each kind of every partition, so that coverage in the UI and ``status`` stay what they are, and the story of the
last runs. How long is the job's configuration.
"""

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import dagster as dg
from dagster import AssetKey, AssetObservation, DagsterInstance, DefaultScheduleStatus

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

ROWS_A_STATEMENT = 20_000  # short transactions: ticks write to the same table meanwhile
# What is the newest of its kind for a partition is what coverage rests on.
SUPERSEDED = """
DELETE FROM event_logs WHERE id IN (
  SELECT id FROM (
    SELECT id, run_id, timestamp, row_number() OVER (
      PARTITION BY asset_key, partition, dagster_event_type ORDER BY id DESC) AS place
    FROM event_logs WHERE asset_key IS NOT NULL) AS ranked
  WHERE place > 1 AND timestamp < :cutoff AND run_id <> ALL(:unfinished) LIMIT :rows)"""
# The story of a run: steps, inputs, outputs, log lines. That it ran, when and how it ended is kept.
STORY = """
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


class Keep(dg.Config):
    """How many days are kept."""

    versions_days: int = 7
    events_days: int = 30
    incidents_days: int = 400  # a year and a month, so that the same month of last year can be looked at


def prune(instance: DagsterInstance, before: datetime) -> dict[str, int]:
    """Delete from the event log what is older than ``before`` and nothing rests on; rows deleted, by what they were."""
    from crypto_assets.dagster_internals.core import SqlEventLogStorage  # brings SQLAlchemy

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return {}
    unfinished = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))]
    values = {"cutoff": before.astimezone(timezone.utc).replace(tzinfo=None), "unfinished": unfinished}
    deleted = {}
    for name, statement in (("superseded", SUPERSEDED), ("story", STORY), ("checks", CHECKS)):
        deleted[name] = 0
        given = values if ":unfinished" in statement else {"cutoff": values["cutoff"]}
        while True:
            with storage.index_connection() as connection:
                found = connection.execute(sqlalchemy.text(statement), {**given, "rows": ROWS_A_STATEMENT}).rowcount
            deleted[name] += found
            if found < ROWS_A_STATEMENT:
                break
    return deleted


@dg.op(
    description="Join small files and remove those that no kept version needs; what is left is noted with each table."
)
def tidy_tables(context: dg.OpExecutionContext, config: Keep) -> None:
    warehouse = Warehouse(Settings.from_env().warehouse)
    pinned = pins.pinned(warehouse)
    broken: WarehouseError | None = None
    for table in CONTRACTS:
        try:
            done = tidy(warehouse, table, timedelta(days=config.versions_days), pinned.get(table, ()))
        except WarehouseError as error:  # the other tables are tidied all the same; then the step fails
            broken = broken or error
            continue
        if done is not None:
            numbers = {"files": done.files, "stored_mb": round(done.bytes / 1e6, 3), "versions": done.versions_kept}
            more = {"days_joined": done.joined_days, "files_removed": done.removed_files}
            context.log_event(AssetObservation(AssetKey(table), metadata={**numbers, **more}))
    if broken is not None:
        raise broken


@dg.op(description="Cut the event log back to what coverage rests on and the story of the last runs.")
def tidy_event_log(context: dg.OpExecutionContext, config: Keep) -> None:
    deleted = prune(context.instance, datetime.now(timezone.utc) - timedelta(days=config.events_days))
    context.log.info(f"deleted from the event log: {deleted}")


@dg.op(description="Forget the incidents that were over long ago, with their messages.")
def tidy_alerts(context: dg.OpExecutionContext, config: Keep) -> None:
    url = Settings.from_env().postgres_url
    if url is None:
        context.log.info("incidents are kept in Dagster's Postgres, which is not named: none were deleted")
        return
    before = datetime.now(timezone.utc) - timedelta(days=config.incidents_days)
    context.log.info(f"deleted incidents: {Ledger(url.get_secret_value()).forget(before)}")


@dg.job(description="Old versions of tables, old events and old incidents, cut back.", tags={"dagster/priority": "-10"})
def tidy_up() -> None:
    tidy_tables()
    tidy_event_log()
    tidy_alerts()


@dg.schedule(
    job=tidy_up, cron_schedule="40 3 * * *", execution_timezone="UTC", default_status=DefaultScheduleStatus.RUNNING
)
def tidy_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """In the quiet between the last settling and the next."""
    if unfinished := waiting(context.instance, "tidy_up", context.scheduled_execution_time):
        return dg.SkipReason(f"the former one still waits or runs (run {unfinished})")
    return dg.RunRequest(tags=reason_tags("retention: once a day, old versions, events and incidents are cut back"))


JOBS = [tidy_up]
SCHEDULES = [tidy_daily]
