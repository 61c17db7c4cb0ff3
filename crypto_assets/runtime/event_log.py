"""Dagster's event log on Postgres, which writes the partitions of a ranged run in a few statements.

A run over 2,191 days of 4 tables announces 8,764 partitions before its first step, and reports as many afterwards. The
stock storage opens two connections and sends two inserts and a notification for each (dagster issues #18789, #31694,
PR #33832), or compiles a statement of thousands of parameters again for each batch. Here a batch is one insert that was
compiled once, one row per asset, and one commit. The rows are the same, and a test compares them.

The reports of checks by day go the same way: some thousands in a run over a year.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import exc, text
from sqlalchemy.engine import Connection

from crypto_assets.dagster_internals import postgres
from crypto_assets.dagster_internals.core import ConfigurableClassData

ASSET, CHECK = DagsterEventType.ASSET_MATERIALIZATION_PLANNED, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
DONE, JUDGED = DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_CHECK_EVALUATION
BATCH_SIZE, EVENTS_A_BATCH = "DAGSTER_EVENT_BATCH_SIZE", "1000"
# The ids come back in the order of the rows, in whatever order Postgres inserts them.
EVENTS = postgres.SqlEventLogStorageTable
INSERT_ONE = EVENTS.insert()
INSERT = INSERT_ONE.returning(EVENTS.c.id, sort_by_parameter_order=True)
# What a run plans to check has a row for each partition, and each has the plan's event: it is sent once.
PLAN = ("number", "asset_key", "check_name", "run_id", "event", "timestamp")
INSERT_PLANNED = text("""
INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id, execution_status, evaluation_event,
  evaluation_event_timestamp, evaluation_event_storage_id)
SELECT asset_key, check_name, partition, run_id, 'PLANNED', event, timestamp, number
FROM unnest(
  CAST(:number AS bigint[]), CAST(:asset_key AS text[]), CAST(:check_name AS text[]), CAST(:run_id AS text[]),
  CAST(:event AS text[]), CAST(:timestamp AS timestamp[])
) AS plan (number, asset_key, check_name, run_id, event, timestamp)
JOIN unnest(CAST(:of_plan AS bigint[]), CAST(:partition AS text[])) AS part (of_plan, partition) ON of_plan = number
ORDER BY number, partition""")
# The reports take the places of what was planned.
REPORT = (*PLAN, "partition", "status", "target")
CHECK_OF_RUN = ("asset_key", "check_name", "run_id")
UPDATE_PLANNED = text("""
UPDATE asset_check_executions AS planned SET
  execution_status = status, evaluation_event = event, evaluation_event_timestamp = report.timestamp,
  evaluation_event_storage_id = number, materialization_event_storage_id = target
FROM unnest(
  CAST(:number AS bigint[]), CAST(:asset_key AS text[]), CAST(:check_name AS text[]), CAST(:run_id AS text[]),
  CAST(:event AS text[]), CAST(:timestamp AS timestamp[]), CAST(:partition AS text[]), CAST(:status AS text[]),
  CAST(:target AS bigint[])
) AS report (number, asset_key, check_name, run_id, event, timestamp, partition, status, target)
WHERE planned.asset_key = report.asset_key AND planned.check_name = report.check_name
  AND planned.run_id = report.run_id AND planned.partition IS NOT DISTINCT FROM report.partition
RETURNING number""")
INSERT_REPORTS = text("""
INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id, execution_status, evaluation_event,
  evaluation_event_timestamp, evaluation_event_storage_id, materialization_event_storage_id)
SELECT asset_key, check_name, partition, run_id, status, event, timestamp, number, target
FROM unnest(
  CAST(:number AS bigint[]), CAST(:asset_key AS text[]), CAST(:check_name AS text[]), CAST(:run_id AS text[]),
  CAST(:event AS text[]), CAST(:timestamp AS timestamp[]), CAST(:partition AS text[]), CAST(:status AS text[]),
  CAST(:target AS bigint[])
) AS report (number, asset_key, check_name, run_id, event, timestamp, partition, status, target)
ORDER BY number""")
# Dagster plans a row for each partition of the run, also for a check that has none. These rows would stay in the check's
# history as skipped, so the report of no partition removes them.
FORGET_PLANNED = text("""
DELETE FROM asset_check_executions AS planned
USING unnest(CAST(:asset_key AS text[]), CAST(:check_name AS text[]), CAST(:run_id AS text[]))
  AS report (asset_key, check_name, run_id)
WHERE planned.asset_key = report.asset_key AND planned.check_name = report.check_name
  AND planned.run_id = report.run_id AND partition IS NOT NULL AND execution_status = 'PLANNED'""")


class BatchingPostgresEventLogStorage(PostgresEventLogStorage):
    """The stock storage, but a batch of partitions costs a few statements, and connections are kept open.

    Dagster uses batches only where DAGSTER_EVENT_BATCH_SIZE is above 0. This is so wherever this class is configured:
    in the webserver, in a code server, and in the process or pod of a run.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._shared = threading.local()
        self._there: set[str] = set()
        super().__init__(*args, **kwargs)
        postgres.keep_connections(self)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchingPostgresEventLogStorage:
        """Build the storage from its configuration (Dagster's interface), and turn batches on.

        Args:
            inst_data: where the configuration comes from.
            config_value: the configuration of the stock storage.

        Returns:
            The storage.
        """
        os.environ.setdefault(BATCH_SIZE, EVENTS_A_BATCH)
        create = config_value.get("should_autocreate_tables", True)
        return cls(
            postgres.pg_url_from_config(config_value), create, inst_data
        )  # the stock method builds the stock class

    def store_event(self, event: EventLogEntry) -> None:
        """Store one event: most take one statement.

        The stock storage also notifies a channel, where no version of Dagster that we support listens any more.

        Args:
            event: the event.
        """
        kind = event.dagster_event_type
        if kind in (ASSET, CHECK, DONE) or (kind == JUDGED and event.run_id):
            self.store_event_batch([event])
            return
        row = self._row(event)
        if row["asset_key"] is not None or kind == JUDGED:
            super().store_event(event)
            return
        with self.index_connection() as conn:
            conn.execute(INSERT_ONE, row)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events. Plans, materialisations and reports of checks go together, each kind by itself.

        Other events as in the stock storage.

        Args:
            events: the events of one batch.
        """
        kinds = {event.dagster_event_type for event in events}
        if kinds and (kinds <= {ASSET, CHECK} or kinds == {DONE}):
            self._store_together(events)
        elif kinds == {JUDGED} and all(event.run_id for event in events):
            self._store_reports(events)
        else:
            super().store_event_batch(events)

    def _store_together(self, events: Sequence[EventLogEntry]) -> None:
        rows = [postgres.row_of(self, event) for event in events]
        with self.index_transaction() as conn, self._sharing(conn):  # all or none: Dagster repeats failed batches
            ids = list(conn.scalars(INSERT, rows))
            postgres.store_tags(self, conn, events, ids)
            latest: dict[str, tuple[EventLogEntry, int]] = {}
            checks = []
            for event, number, row in zip(events, ids, rows, strict=True):
                if event.dagster_event_type == CHECK:
                    checks.append((event, {**row, "number": number}))
                elif key := event.get_dagster_event().asset_key:
                    latest[key.to_string()] = event, number
            for _, (event, number) in sorted(latest.items()):  # always in one order, so that runs never deadlock
                postgres.store_asset(self, conn, event, number)
            if checks:
                conn.execute(INSERT_PLANNED, _plans(checks))

    def _store_reports(self, events: Sequence[EventLogEntry]) -> None:
        """Store reports of checks in four statements: the events, the planned rows that they fill or end, and new rows."""
        rows = [self._row(event) for event in events]
        with self.index_transaction() as conn:
            ids = list(conn.scalars(INSERT, rows))
            reports = [_report(*found) for found in zip(events, rows, ids, strict=True)]
            planned = set(conn.scalars(UPDATE_PLANNED, _columns(reports, REPORT)))
            if new := [report for report in reports if report["number"] not in planned]:
                conn.execute(INSERT_REPORTS, _columns(new, REPORT))
            if whole := [report for report in reports if report["partition"] is None]:
                conn.execute(FORGET_PLANNED, _columns(whole, CHECK_OF_RUN))

    def prepare_insert_event(self, event: EventLogEntry) -> Any:
        """Return the insert of one event, with the partition of a check's report.

        Args:
            event: the event.

        Returns:
            The statement.
        """
        return EVENTS.insert().values(**self._row(event))

    def _row(self, event: EventLogEntry) -> dict[str, Any]:
        """The row of an event. That of a check's report names its partition, so that reports of ranges can be selected."""
        row = postgres.row_of(self, event)
        if event.dagster_event_type == JUDGED:
            row["partition"] = event.get_dagster_event().asset_check_evaluation_data.partition
        return row

    # The stock storage asks Postgres' catalogue for every event. What a migration created stays, so the answer is kept.

    def has_table(self, table_name: str) -> bool:
        """Whether the table exists; a positive answer is remembered."""
        found = super().has_table
        return self._is_there(table_name, lambda: found(table_name))

    def has_asset_key_col(self, column_name: str) -> bool:
        """Whether the table of asset keys has the column; a positive answer is remembered."""
        found = super().has_asset_key_col
        return self._is_there(f"asset_keys.{column_name}", lambda: found(column_name))

    def _is_there(self, name: str, look: Callable[[], bool]) -> bool:
        if name not in self._there and look():
            self._there.add(name)
        return name in self._there

    def index_connection(self) -> AbstractContextManager[Connection]:
        """Return a context with a connection; inside a transaction of this thread, its connection."""
        return self._sharing(self._shared.conn) if getattr(self._shared, "conn", None) else super().index_connection()

    @contextmanager
    def _sharing(self, conn: Connection) -> Iterator[Connection]:
        """Let the stock methods that this thread calls meanwhile join the transaction."""
        former, self._shared.conn = getattr(self._shared, "conn", None), conn
        try:
            yield conn
        finally:
            self._shared.conn = former

    def dispose(self) -> None:
        """Close all connections."""
        super().dispose()
        postgres.close_connections(self)

    def initialize_concurrency_limit_to_default(self, concurrency_key: str) -> bool:
        """Create a concurrency pool if it does not exist.

        If two processes use a pool for the first time, both insert it, and the second insert of the stock storage fails
        in Postgres. Here it does not.

        Args:
            concurrency_key: the name of the pool.

        Returns:
            True if the pool exists afterwards.
        """
        try:
            return super().initialize_concurrency_limit_to_default(concurrency_key)
        except exc.DBAPIError:
            if any(limit.name == concurrency_key for limit in self.get_pool_limits()):
                return True  # the other process created it with its slots, in one transaction
            raise


def _plans(checks: Sequence[tuple[EventLogEntry, dict[str, Any]]]) -> dict[str, list[Any]]:
    """The plans of checks, and the partitions of each, as the columns of ``INSERT_PLANNED``."""
    plans, partitions = [], []
    for event, row in checks:
        planned = event.get_dagster_event().asset_check_planned_data
        plans.append({**row, "asset_key": planned.asset_key.to_string(), "check_name": planned.check_name})
        keys = planned.partitions_subset.get_partition_keys() if planned.partitions_subset else [None]
        partitions += [(row["number"], key) for key in keys]
    return {
        **_columns(plans, PLAN),
        "of_plan": [number for number, _ in partitions],
        "partition": [key for _, key in partitions],
    }


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Rows as the columns that a statement unnests."""
    return {name: [row[name] for row in rows] for name in names}


def _report(event: EventLogEntry, row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The report of a check: the event's row in the log, and what the table of checks has besides."""
    report = event.get_dagster_event().asset_check_evaluation_data
    target = report.target_materialization_data
    return {
        **row,
        "number": number,
        "asset_key": report.asset_key.to_string(),
        "check_name": report.check_name,
        "status": "SUCCEEDED" if report.passed else "FAILED",
        "target": None if target is None else target.storage_id,
    }
