"""State that all processes of an installation share: our own tables in Dagster's Postgres.

A subclass decides what the tables hold. This class keeps one connection, and waits for a server that restarts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from crypto_assets.errors import InstanceError, first_line
from crypto_assets.lazy import lazy

if TYPE_CHECKING:
    import psycopg2
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor
else:
    psycopg2 = lazy("psycopg2")

CONNECT_TIMEOUT_S = 10
ATTEMPTS = 6  # a restart of Postgres takes a few seconds
T = TypeVar("T")


class SharedState:
    """Transactions on the tables of ``schema``, which are made at first use. Safe to use from several threads.

    ``what`` names the state in the :class:`InstanceError` that is raised when the server stays away. ``lock`` is a
    number that nothing else locks, so that two first commands do not both create the tables. ``attempts`` says how often a
    transaction is tried while the server is away. ``single_statements``: each statement is a transaction of its own, which
    saves two round trips where the work is one statement.
    """

    what: str
    schema: str
    lock: int
    attempts: int = ATTEMPTS
    single_statements: bool = False

    def __init__(self, url: str) -> None:
        self._dsn = url.replace("postgresql+psycopg2://", "postgresql://")
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def _ask(self, query: str, parameters: Sequence[object] | Mapping[str, object]) -> list[tuple[Any, ...]]:
        def ask(cursor: Cursor) -> list[tuple[Any, ...]]:
            cursor.execute(query, parameters)
            return list(cursor.fetchall())

        return self._transaction(ask)

    def _transaction(self, work: Callable[[Cursor], T], *, once: bool = False) -> T:
        """Run ``work`` in a transaction and return its result; ``once``: on a new connection, and never repeated."""
        with self._lock:
            if once:
                self._connection = None
            attempts = 1 if once else self.attempts
            for attempt in range(attempts):
                try:
                    connection = self._open()
                    with nullcontext() if self.single_statements else connection, connection.cursor() as cursor:
                        return work(cursor)
                except (psycopg2.OperationalError, psycopg2.InterfaceError):
                    self._connection = None
                    if attempt + 1 < attempts:
                        time.sleep(0.2 * 2**attempt)
                except psycopg2.Error as error:  # the server answers, and would answer the same again
                    raise cannot_be_used(self.what, error) from error
        raise does_not_answer(self.what)

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self._dsn, connect_timeout=CONNECT_TIMEOUT_S)
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (self.lock,))
                cursor.execute(self.schema)
            self._connection.autocommit = self.single_statements
        return self._connection


def cannot_be_used(what: str, error: psycopg2.Error) -> InstanceError:
    """Return what is raised where the server refuses a statement."""
    return InstanceError(
        f"{what} in Dagster's Postgres cannot be used ({first_line(error)[:160]}); correct the rights of "
        "DAGSTER_POSTGRES_URL's user, or bring the tables up to date with crypto-assets migrate"
    )


def does_not_answer(what: str) -> InstanceError:
    """Return what is raised where the server stays away."""
    return InstanceError(f"{what} in Dagster's Postgres does not answer; run crypto-assets doctor")
