"""Dagster's event log on Postgres, which writes the partitions of a ranged run in a few statements.

A run over 2,191 days of 4 tables announces 8,764 partitions before its first step, and reports as many afterwards. The
stock storage opens two connections and sends two inserts and a notification for each (dagster issues #18789, #31694,
PR #33832), or compiles a statement of thousands of parameters again for each batch. Here a batch is one insert that was
compiled once, one row per asset, and one commit. The rows are the same, and a test compares them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from crypto_assets.dagster_internals import postgres
from crypto_assets.dagster_internals.core import ConfigurableClassData

ASSET, CHECK = DagsterEventType.ASSET_MATERIALIZATION_PLANNED, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
DONE = DagsterEventType.ASSET_MATERIALIZATION
BATCH_SIZE, EVENTS_A_BATCH = "DAGSTER_EVENT_BATCH_SIZE", "1000"
# The ids come back in the order of the rows, in whatever order Postgres inserts them.
EVENTS = postgres.SqlEventLogStorageTable
INSERT = EVENTS.insert().returning(EVENTS.c.id, sort_by_parameter_order=True)


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

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events. Materialisations, checks or ends of partitions go together.

        Other events as in the stock storage.

        Args:
            events: the events of one batch.
        """
        kinds = {event.dagster_event_type for event in events}
        if kinds and (kinds <= {ASSET, CHECK} or kinds == {DONE}):
            self._store_together(events)
        else:
            super().store_event_batch(events)

    def _store_together(self, events: Sequence[EventLogEntry]) -> None:
        rows = [postgres.row_of(self, event) for event in events]
        with self.index_transaction() as conn, self._sharing(conn):  # all or none: Dagster repeats failed batches
            ids = list(conn.scalars(INSERT, rows))
            postgres.store_tags(self, conn, events, ids)
            latest: dict[str, tuple[EventLogEntry, int]] = {}
            for event, number in zip(events, ids, strict=True):
                if event.dagster_event_type == CHECK:
                    self.store_asset_check_event(event, number)
                elif key := event.get_dagster_event().asset_key:
                    latest[key.to_string()] = event, number
            for _, (event, number) in sorted(latest.items()):  # always in one order, so that runs never deadlock
                postgres.store_asset(self, conn, event, number)

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
