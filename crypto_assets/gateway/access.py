"""Who may ask: a bearer token, held against its tables and its limits before anything is read."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone

from crypto_assets.errors import InstanceError
from crypto_assets.gateway.batched import Batched
from crypto_assets.gateway.problems import Problem
from crypto_assets.gateway.tokens import Given, Token, parts_of
from crypto_assets.gateway.use import Looked, Marks, Uses

LOOPBACK = ("127.0.0.1", "::1")
COUNTED_S = 1.0  # rows that were given are in Postgres after this time at the latest
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="crypto_assets"'}


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: the token's name; ``loopback`` for a program of this machine without a token.
        token: the token; None without one.
        marks: of the tables online when the token was looked up; None without one.
    """

    name: str
    token: Token | None
    marks: Marks | None

    def may_read(self, table: str) -> bool:
        """Whether it may read a table."""
        return self.token is None or self.token.may_read(table)

    def check(self, tables: Iterable[str]) -> None:
        """Refuse tables that it may not read.

        Raises:
            Problem: it may not read one of them (403).
        """
        if barred := [table for table in tables if not self.may_read(table)]:
            raise Problem(
                403, "not-allowed",
                f"the token may not read {', '.join(barred)}; ask the operator for a token with these tables",
            )  # fmt: skip


class Gate:
    """Lets requests with a valid token through, up to its limits. All calls but :meth:`count_rows` are of one event loop.

    Every request is looked up and counted in Postgres, those that wait at the same time by one statement. The rows of answers
    are added with the next request, or by :meth:`count_steadily`.
    """

    def __init__(self, url: str, *, loopback_without_token: bool = False) -> None:
        self._open_to_loopback = loopback_without_token
        self._uses = Uses(url)
        self._asked: Batched[Given | None, Looked] = Batched(self._look)
        self._given: Counter[str] = Counter()  # id of a token -> rows that are not in Postgres yet
        self._lock = threading.Lock()  # answers are read by several threads

    async def _look(self, given: Sequence[Given | None]) -> list[Looked]:
        with self._lock:
            rows, self._given = self._given, Counter()
        try:
            return await self._uses.look(given, rows)
        except BaseException:
            with self._lock:
                self._given.update(rows)
            raise

    async def count_steadily(self) -> None:
        """Add the rows of answers to Postgres once a second until it is cancelled, then once more."""
        try:
            while True:
                await asyncio.sleep(COUNTED_S)
                if self._given:
                    with suppress(InstanceError):  # they are kept, and added when it is back
                        await self._asked.ask(None)
        finally:
            with suppress(InstanceError):
                await self._asked.ask(None)
            self._uses.close()

    async def marks(self) -> Marks:
        """Return the marks of the tables online, for a caller without a token. Raises InstanceError."""
        return (await self._asked.ask(None)).marks

    async def admit(self, authorization: str | None, client: str | None) -> Caller:
        """Find out who asks, and count the request.

        Args:
            authorization: the header ``Authorization``.
            client: the address of the client.

        Returns:
            The caller.

        Raises:
            Problem: there is no valid token (401), or it has used up a limit (429).
            InstanceError: Postgres does not answer.
        """
        if authorization is None:
            if self._open_to_loopback and client in LOOPBACK:
                return Caller("loopback", None, None)
            raise Problem(401, "no-token", "send a token as Authorization: Bearer TOKEN; an operator makes one with "
                          "crypto-assets token create", _CHALLENGE)  # fmt: skip
        scheme, _, text = authorization.partition(" ")
        given = parts_of(text.strip()) if scheme.lower() == "bearer" else None
        looked = None if given is None else await self._asked.ask(given)
        if looked is None or (use := looked.use) is None:
            raise Problem(401, "wrong-token", "the token is not a valid one; check that it is copied whole", _CHALLENGE)
        now = datetime.now(timezone.utc)
        if ended := use.token.ended(now):
            raise Problem(401, f"{ended}-token", f"the token is {ended}; ask the operator for another", _CHALLENGE)
        if use.calls > use.token.calls_a_minute:
            wait = str(60 - now.second)
            raise Problem(
                429, "too-many-requests",
                f"the token has made its {use.token.calls_a_minute} requests of this minute; ask again in {wait} s",
                {"Retry-After": wait},
            )  # fmt: skip
        if use.rows >= use.token.rows_a_day:
            wait = str(86_400 - (now.hour * 3600 + now.minute * 60 + now.second))
            raise Problem(
                429, "too-many-rows",
                f"the token has read its {use.token.rows_a_day:,} rows of this UTC day; ask again tomorrow",
                {"Retry-After": wait},
            )  # fmt: skip
        return Caller(use.token.name, use.token, looked.marks)

    def count_rows(self, caller: Caller, rows: int) -> None:
        """Count the rows of an answer. May be called by any thread."""
        if caller.token is not None and rows:
            with self._lock:
                self._given[caller.token.token_id] += rows
