"""The database role of a gateway: it reads tokens and what is online, counts calls, and may do nothing else."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from crypto_assets.errors import UsageError
from crypto_assets.gateway.tokens import Tokens
from crypto_assets.lazy import lazy

if TYPE_CHECKING:
    import psycopg2.sql as sql
    from psycopg2.extensions import cursor as Cursor
else:
    sql = lazy("psycopg2.sql")

ROLE = "crypto_assets_gateway"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_GRANTS = """
    ALTER ROLE {role} WITH LOGIN PASSWORD {password} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    CREATE SCHEMA IF NOT EXISTS online;
    GRANT CONNECT ON DATABASE {database} TO {role};
    GRANT USAGE ON SCHEMA serving, online TO {role};
    GRANT SELECT ON ALL TABLES IN SCHEMA online TO {role};
    ALTER DEFAULT PRIVILEGES IN SCHEMA online GRANT SELECT ON TABLES TO {role};
    GRANT SELECT ON serving.tokens TO {role};
    GRANT SELECT, INSERT, UPDATE ON serving.token_use TO {role};
"""


class Roles(Tokens):
    """Makes the role. The user that it connects as must be allowed to make roles, and own the tables."""

    def grant(self, name: str = ROLE) -> str:
        """Make the role, or give it a new password; its rights are those of a gateway in both cases.

        Args:
            name: of the role; lower-case letters, digits and ``_``.

        Returns:
            Its password. It is shown here only.

        Raises:
            UsageError: the name is not allowed.
            InstanceError: Postgres does not answer, or this user may not make roles.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"--name {name!r} is not a name of a role; write lower-case letters, digits and _")
        password = secrets.token_urlsafe(24)
        self._transaction(lambda cursor: _grant(cursor, name, password))
        return password


def _grant(cursor: Cursor, name: str, password: str) -> None:
    cursor.execute("SELECT current_database(), EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (name,))
    database, there = cursor.fetchone() or ("", False)
    role = sql.Identifier(name)
    if not there:
        cursor.execute(sql.SQL("CREATE ROLE {role}").format(role=role))
    cursor.execute(
        sql.SQL(_GRANTS).format(role=role, database=sql.Identifier(database), password=sql.Literal(password))
    )
