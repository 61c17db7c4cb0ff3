"""What is relied on of dagster-postgres' internals: each test names what moved or changed when it fails."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterEventType, DagsterInstance, EventLogEntry
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import Connection

from crypto_assets.dagster_internals import postgres


@pytest.fixture
def stock(url: str) -> PostgresEventLogStorage:
    return PostgresEventLogStorage(url)


@pytest.fixture
def event(instance: DagsterInstance) -> tuple[EventLogEntry, int]:
    """A materialisation as the instance stored it, and its number."""
    asset = AssetMaterialization(AssetKey("one"), partition="2025-01-01", tags={"dagster/partition/colour": "red"})
    instance.report_runless_asset_event(asset)
    (record,) = instance.fetch_materializations(AssetKey("one"), limit=1).records
    return record.event_log_entry, record.storage_id


@contextmanager
def undone(stock: PostgresEventLogStorage, first: str) -> Iterator[Connection]:
    """A transaction that is rolled back at the end of the block; ``first`` is executed and committed before."""

    class Undo(Exception): ...

    with stock.index_connection() as connection:
        connection.execute(text(first))
    with suppress(Undo), stock.index_transaction() as connection:
        yield connection
        raise Undo


def test_the_row_of_an_event_is_the_stored_one(
    stock: PostgresEventLogStorage, event: tuple[EventLogEntry, int]
) -> None:
    made = postgres.row_of(stock, event[0])
    with stock.index_connection() as connection:
        stored = dict(connection.execute(select(postgres.SqlEventLogStorageTable)).mappings().one())
    assert stored.pop("id") == event[1]
    assert made == {name: stored[name] for name in made}
    assert {name for name, value in stored.items() if value is not None} <= set(made)
    assert made["dagster_event_type"] == DagsterEventType.ASSET_MATERIALIZATION.value


def test_tags_are_written_in_the_callers_transaction(
    stock: PostgresEventLogStorage, event: tuple[EventLogEntry, int]
) -> None:
    def tags(connection: Connection) -> Sequence[object]:
        return connection.execute(text("SELECT event_id, value FROM asset_event_tags WHERE key LIKE '%colour'")).all()

    with undone(stock, "DELETE FROM asset_event_tags") as connection:
        postgres.store_tags(stock, connection, [event[0]], [event[1]])
        assert tags(connection) == [(event[1], "red")]
    with stock.index_connection() as connection:
        assert tags(connection) == []


def test_an_assets_newest_event_is_written_in_the_callers_transaction(
    stock: PostgresEventLogStorage, event: tuple[EventLogEntry, int]
) -> None:
    def newest(connection: Connection) -> Sequence[object]:
        return connection.execute(text("SELECT last_materialization FROM asset_keys")).scalars().all()

    with undone(stock, "DELETE FROM asset_keys") as connection:
        postgres.store_asset(stock, connection, *event)
        (stored,) = newest(connection)
        assert '"red"' in str(stored)
    with stock.index_connection() as connection:
        assert newest(connection) == []


def test_a_kept_connection_is_used_again_and_closed(stock: PostgresEventLogStorage) -> None:
    def backend() -> object:
        with stock.index_connection() as connection:
            return connection.execute(text("SELECT pg_backend_pid()")).scalar()

    assert backend() != backend(), "the stock storage keeps none, or this package need not change it any more"
    postgres.keep_connections(stock)
    first = backend()
    assert backend() == first
    postgres.close_connections(stock)
    assert backend() != first


def test_as_many_connections_are_kept_as_threads_use_at_once(stock: PostgresEventLogStorage) -> None:
    def backends(number: int) -> set[object]:
        with ExitStack() as stack:
            connections = [stack.enter_context(stock.index_connection()) for _ in range(number)]
            return {one.execute(text("SELECT pg_backend_pid()")).scalar() for one in connections}

    postgres.keep_connections(stock, 2)
    first, again = backends(3), backends(3)
    assert len(first) == len(again) == 3
    assert len(first & again) == 2


def test_a_kept_connection_that_the_server_closed_is_made_anew(stock: PostgresEventLogStorage) -> None:
    """As after a restart of the server, which takes longer than a connection may go unused without being asked."""
    postgres.keep_connections(stock)
    with stock.index_connection() as connection:
        first = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with create_engine(stock.postgres_url).connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
    time.sleep(2 * postgres.ASKED_AFTER_S)
    with stock.index_connection() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != first


def test_a_server_that_is_away_is_their_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # between their attempts
    with pytest.raises(postgres.DagsterPostgresException):
        PostgresEventLogStorage("postgresql+psycopg2://nobody@127.0.0.1:1/none")


def test_a_configuration_means_an_address() -> None:
    url = "postgresql+psycopg2://user@127.0.0.1:5432/base"
    assert postgres.pg_url_from_config({"postgres_url": url}) == url
