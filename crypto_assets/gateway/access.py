"""Who may ask: a bearer token, held against its tables and its limits before anything is read."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from crypto_assets.errors import InstanceError
from crypto_assets.gateway.problems import Problem
from crypto_assets.gateway.tokens import Token, TokensInUse

LOOPBACK = ("127.0.0.1", "::1")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="crypto_assets"'}


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: the token's name; ``loopback`` for a program of this machine without a token.
        token: the token; None without one.
    """

    name: str
    token: Token | None

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
    """Lets requests with a valid token through, up to its limits. Safe to use from several threads."""

    def __init__(self, url: str, *, loopback_without_token: bool = False) -> None:
        self._url = url
        self._open_to_loopback = loopback_without_token
        self._local = threading.local()  # a connection to Postgres each thread

    @property
    def _tokens(self) -> TokensInUse:
        if not hasattr(self._local, "tokens"):
            self._local.tokens = TokensInUse(self._url)
        found: TokensInUse = self._local.tokens
        return found

    def admit(self, authorization: str | None, client: str | None) -> Caller:
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
                return Caller("loopback", None)
            raise Problem(401, "no-token", "send a token as Authorization: Bearer TOKEN; an operator makes one with "
                          "crypto-assets token create", _CHALLENGE)  # fmt: skip
        scheme, _, text = authorization.partition(" ")
        use = self._tokens.use(text.strip()) if scheme.lower() == "bearer" else None
        if use is None:
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
        return Caller(use.token.name, use.token)

    def count_rows(self, caller: Caller, rows: int) -> None:
        """Count the rows of an answer. A count that Postgres does not take is lost, and the answer is given all the same."""
        if caller.token is None or rows == 0:
            return
        try:
            self._tokens.count_rows(caller.token, rows)
        except InstanceError:
            return
