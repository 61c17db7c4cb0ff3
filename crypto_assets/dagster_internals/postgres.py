"""Internals of dagster-postgres and of the event log that it extends (seen in 0.29.27).

The functions do one step each of the stock ``store_event`` and ``store_event_batch``, which have no public parts: a storage
that writes a batch in fewer statements must write the same rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from dagster import EventLogEntry

# The table of events: an insert of many rows at once needs its columns.
from dagster._core.storage.event_log import SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage

# What the storages raise when Postgres is away for long, and the address that a configuration of theirs means.
from dagster_postgres.utils import DagsterPostgresException, create_pg_engine, pg_url_from_config
from sqlalchemy.engine import Connection
from sqlalchemy.event import listens_for
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

__all__ = [
    "DagsterPostgresException",
    "SqlEventLogStorageTable",
    "close_connections",
    "keep_connections",
    "pg_url_from_config",
    "row_of",
    "store_asset",
    "store_tags",
]

# All that an instance stores in Postgres.
Storage = PostgresEventLogStorage | PostgresRunStorage | PostgresScheduleStorage
ASKED_AFTER_S = 0.1  # seconds without use, after which a kept connection is asked for a sign of life
_USED_AT = "crypto_assets/used_at"


def row_of(storage: PostgresEventLogStorage, event: EventLogEntry) -> dict[str, Any]:
    """Return the row of ``SqlEventLogStorageTable`` that the stock storage writes for an event."""
    return storage._event_to_row(event)


def store_tags(
    storage: PostgresEventLogStorage, connection: Connection, events: Sequence[EventLogEntry], ids: Sequence[int]
) -> None:
    """Write the tags of asset events within the caller's transaction.

    Args:
        storage: the storage.
        connection: has the transaction.
        events: the events.
        ids: their storage ids, in the same order.
    """
    storage._store_asset_event_tags(connection, events, ids)


def store_asset(storage: PostgresEventLogStorage, connection: Connection, event: EventLogEntry, number: int) -> None:
    """Note an event as the newest of its asset within the caller's transaction.

    Args:
        storage: the storage.
        connection: has the transaction.
        event: the event of an asset.
        number: its storage id.
    """
    storage._store_asset_event(connection, event, number)


def keep_connections(storage: Storage, at_most: int = 1) -> None:
    """Let the storage keep connections open between uses, as the stock one does in the webserver only.

    A connection that was not used for a moment is asked for a sign of life before its next use, which hides a restart of
    the server. Asking before each use would double the statements of a run. Further threads get connections of their own,
    which are closed after use.

    Args:
        storage: the storage.
        at_most: how many connections stay open.
    """
    storage._engine.dispose()
    storage._engine = engine = create_pg_engine(
        storage.postgres_url, isolation_level="AUTOCOMMIT", pool_size=at_most, max_overflow=-1
    )

    @listens_for(engine, "checkin")
    def note(_: Any, kept: ConnectionPoolEntry) -> None:
        kept.info[_USED_AT] = time.monotonic()

    @listens_for(engine, "checkout")
    def see(connection: Any, kept: ConnectionPoolEntry, _: Any) -> None:
        if time.monotonic() - kept.info.get(_USED_AT, math.inf) > ASKED_AFTER_S:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error  # the pool connects anew


def close_connections(storage: Storage) -> None:
    """Close the connections that :func:`keep_connections` lets the storage keep."""
    storage._engine.dispose()
