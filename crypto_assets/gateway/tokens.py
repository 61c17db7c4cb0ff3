"""Access tokens and what each has used, in Postgres, so that every gateway of an installation agrees.

A token is ``ca_ID_SECRET``. Only a hash of the secret is stored: it has 256 random bits, so a fast hash is as good as a slow
one. A token names the tables that it may read, and can end at an instant or be revoked at once.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_assets.errors import UsageError, suggestion
from crypto_assets.storage.shared_state import SharedState
from crypto_assets.tables.registry import CONTRACTS

ALL = "all"  # in place of a list of tables
CALLS_A_MINUTE, ROWS_A_DAY = 600, 100_000_000
_FORM = re.compile(r"ca_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


Given = tuple[str, str]  # the id of a token, and the hash of its secret


@dataclass(frozen=True)
class Token:
    """A token as it is stored, without its secret.

    Attributes:
        token_id: the part of the token that is no secret.
        name: who or what it is for.
        tables: the tables that it may read; ``("all",)`` for every table.
        created_at: UTC.
        expires_at: UTC; None: it does not end by itself.
        revoked_at: UTC; None while it is valid.
        calls_a_minute: the largest number of requests in a minute of the clock.
        rows_a_day: the largest number of rows in a UTC day; the answer in which it is reached is still given whole.
    """

    token_id: str
    name: str
    tables: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    calls_a_minute: int
    rows_a_day: int

    def may_read(self, table: str) -> bool:
        """Whether the token may read a table."""
        return ALL in self.tables or table in self.tables

    def ended(self, now: datetime) -> str | None:
        """Return why it is not valid any more: ``expired`` or ``revoked``; None while it is valid."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else None


class Tokens(SharedState):
    """The tokens of an installation."""

    what, lock = "serving.tokens", 0x746F_6B65_6E73
    attempts = 2  # a connection that a restart has closed is opened again; a request does not wait for longer
    schema = """
        SET TIME ZONE 'UTC';
        CREATE SCHEMA IF NOT EXISTS serving;
        CREATE TABLE IF NOT EXISTS serving.tokens (
            token_id text PRIMARY KEY, name text NOT NULL UNIQUE, secret_hash text NOT NULL, tables text[] NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz, revoked_at timestamptz,
            calls_a_minute integer NOT NULL, rows_a_day bigint NOT NULL);
        CREATE TABLE IF NOT EXISTS serving.token_use (
            token_id text PRIMARY KEY REFERENCES serving.tokens ON DELETE CASCADE,
            minute timestamptz NOT NULL, calls integer NOT NULL, day date NOT NULL, rows bigint NOT NULL)
    """

    def prepare(self) -> None:
        """Create the tables where they are not there yet.

        Raises:
            InstanceError: Postgres does not answer, or the role may not create them.
        """
        self._transaction(lambda cursor: cursor.execute("SELECT 1"))

    def create(
        self,
        name: str,
        tables: Sequence[str],
        expires_at: datetime | None = None,
        calls_a_minute: int = CALLS_A_MINUTE,
        rows_a_day: int = ROWS_A_DAY,
    ) -> str:
        """Make a token.

        Args:
            name: who or what it is for; letters, digits, blanks and ``. _ -``.
            tables: the tables that it may read; ``all`` for every table.
            expires_at: when it ends (UTC); None: never by itself.
            calls_a_minute: the largest number of requests a minute.
            rows_a_day: the largest number of rows a UTC day.

        Returns:
            The token. It is shown here only: the database holds a hash.

        Raises:
            UsageError: the name is taken or not allowed, or a table does not exist.
            InstanceError: Postgres does not answer.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"--name {name!r} is not a name; write up to 64 letters, digits, blanks, dots, _ or -")
        if unknown := [table for table in tables if table not in CONTRACTS and table != ALL]:
            raise UsageError(
                f"--tables: there is no table {', '.join(unknown)}{suggestion(unknown, CONTRACTS)}; name tables, or all"
            )
        if not tables:
            raise UsageError("--tables names no table; a token without tables could read nothing; name tables, or all")
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        made = self._ask(
            "INSERT INTO serving.tokens (token_id, name, secret_hash, tables, expires_at, calls_a_minute, rows_a_day) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING token_id",
            (token_id, name, _hash(secret), list(tables), expires_at, calls_a_minute, rows_a_day),
        )
        if not made:
            raise UsageError(f"--name {name!r} is taken by another token; choose another name, or revoke that one")
        return f"ca_{token_id}_{secret}"

    def all(self) -> list[Token]:
        """Return every token, oldest first, revoked ones too."""
        return [
            token_of(row) for row in self._ask(f"SELECT {COLUMNS} FROM serving.tokens ORDER BY created_at, name", ())
        ]

    def revoke(self, name: str) -> bool:
        """End a token at once.

        Args:
            name: its name, or the part of it that is no secret.

        Returns:
            Whether it was valid until now.

        Raises:
            UsageError: there is no such token.
            InstanceError: Postgres does not answer.
        """
        ended = self._ask(
            "UPDATE serving.tokens SET revoked_at = now() WHERE (name = %(n)s OR token_id = %(n)s) AND revoked_at IS NULL "
            "RETURNING token_id",
            {"n": name},
        )
        known = ended or self._ask(
            "SELECT token_id FROM serving.tokens WHERE name = %(n)s OR token_id = %(n)s", {"n": name}
        )
        if not known:
            names = [token.name for token in self.all()]
            raise UsageError(f"there is no token {name!r}{suggestion([name], names)}; token list shows them")
        return bool(ended)


COLUMNS = "token_id, name, tables, created_at, expires_at, revoked_at, calls_a_minute, rows_a_day"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def parts_of(text: str) -> Given | None:
    """Return the parts of a token as a client sent it; None where it has not the form of one."""
    found = _FORM.fullmatch(text)
    return None if found is None else (found[1], _hash(found[2]))


def token_of(row: Sequence[Any]) -> Token:
    """Return the token of a row with the columns of :data:`COLUMNS`."""
    token_id, name, tables, created_at, expires_at, revoked_at, calls, rows = row
    return Token(token_id, name, tuple(tables), created_at, expires_at, revoked_at, calls, rows)
