"""A connection to Postgres on the event loop.

A question of a request costs no thread: handing work to a thread and taking its answer back is dearer than the question itself,
and while Python code runs in another thread, the answer waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from crypto_assets.lazy import lazy
from crypto_assets.storage.shared_state import cannot_be_used, does_not_answer

if TYPE_CHECKING:
    import psycopg2
    import psycopg2.extensions as extensions
    from psycopg2.extensions import connection as Connection
else:
    psycopg2 = lazy("psycopg2")
    extensions = lazy("psycopg2.extensions")

ATTEMPTS = 2  # a connection that a restart has closed is opened again; a request does not wait for longer
PAUSE_S = 0.2
ANSWER_S = 10.0  # a server that says nothing for this long is away
Rows = list[tuple[Any, ...]]
Ask = Callable[..., Awaitable[Rows]]  # (query, parameters)


class Session:
    """One connection, opened when it is needed. All calls are of one event loop, one after the other."""

    def __init__(self, url: str, what: str, schema: str) -> None:
        """Prepare a session.

        Args:
            url: the address of the Postgres.
            what: names the state in errors.
            schema: statements that begin each connection.
        """
        self._dsn = url.replace("postgresql+psycopg2://", "postgresql://")
        self._what, self._schema = what, schema
        self._connection: Connection | None = None

    async def run(self, work: Callable[[Ask], Awaitable[Rows]]) -> Rows:
        """Run statements; again on a new connection where the server has closed the last one.

        Args:
            work: asks with what it is given; each statement is a transaction of its own.

        Returns:
            What ``work`` returns.

        Raises:
            InstanceError: the server stays away, or refuses the statement.
        """
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await work(partial(self._ask, await self._open()))
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self.close()
                if attempt + 1 < ATTEMPTS:
                    await asyncio.sleep(PAUSE_S)
            except TimeoutError:
                self.close()
                break
            except psycopg2.Error as error:  # the server answers, and would answer the same again
                raise cannot_be_used(self._what, error) from error
            except BaseException:  # it was interrupted: what the connection says next belongs to this question
                self.close()
                raise
        raise does_not_answer(self._what)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _ask(
        self, connection: Connection, query: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> Rows:
        cursor = connection.cursor()
        cursor.execute(query, parameters)
        await _settled(connection)
        return cursor.fetchall() if cursor.description else []

    async def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            # In a thread, because the name of the server is looked up, which can take long.
            connect = partial(psycopg2.connect, self._dsn, async_=True)
            connection = await asyncio.get_running_loop().run_in_executor(None, connect)
            self._connection = connection
            await _settled(connection)
            await self._ask(connection, self._schema)
        return self._connection


async def _settled(connection: Connection) -> None:
    """Wait until the connection has done what it was asked for. Raises what psycopg2 raises."""
    loop = asyncio.get_running_loop()
    while (state := connection.poll()) != extensions.POLL_OK:
        file, ready = connection.fileno(), loop.create_future()
        reads = state == extensions.POLL_READ
        (loop.add_reader if reads else loop.add_writer)(file, _set, ready)
        try:
            await ready
        finally:
            (loop.remove_reader if reads else loop.remove_writer)(file)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
