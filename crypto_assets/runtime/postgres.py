"""Dagster's database: the server that DAGSTER_POSTGRES_URL names, else the embedded one (``embedded_postgres.py``)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from crypto_assets.errors import InstanceError, free_space_note
from crypto_assets.lazy import lazy
from crypto_assets.runtime import embedded_postgres
from crypto_assets.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy
else:
    sqlalchemy = lazy("sqlalchemy")

DIALECT = "postgresql+psycopg2://"


def is_embedded(settings: Settings) -> bool:
    """Whether the database is the home's own server; also true if a parent process passed its address on."""
    given = settings.postgres_url
    return given is None or embedded_postgres.owns(settings.home / "postgres", given.get_secret_value())


def ensure_postgres(settings: Settings) -> str:
    """Make sure that a Postgres answers.

    Args:
        settings: the address, or the home of the embedded server.

    Returns:
        Its URL (``postgresql+psycopg2://``), with the password.

    Raises:
        InstanceError: the server cannot be reached or started.
    """
    root = settings.home / "postgres"
    if settings.postgres_url is not None and not is_embedded(settings):
        return _external(settings.postgres_url.get_secret_value())
    try:
        return embedded_postgres.running(root)
    except OSError as error:
        raise InstanceError(
            f"the embedded Postgres cannot be started in {root} ({error.strerror or error}){free_space_note(error, root)}; "
            "set CRYPTO_ASSETS_HOME to a folder you may write, or DAGSTER_POSTGRES_URL to a server"
        ) from error


@contextmanager
def started_meanwhile(settings: Settings) -> Iterator[None]:
    """Start the Postgres in a thread while the work inside loads what will use it; wait for it at the end.

    What is wrong with the server is said by :func:`ensure_postgres` when it is called for.

    Args:
        settings: the address, or the home of the embedded server.
    """

    def start() -> None:
        with suppress(InstanceError):
            ensure_postgres(settings)

    thread = threading.Thread(target=start)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def normalised(url: str) -> str:
    """Return the URL with the driver that dagster-postgres needs: SQLAlchemy reads ``postgresql://`` as psycopg 3."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return DIALECT + url[len(prefix) :]
    return url


def _external(given: str) -> str:
    url = normalised(given)
    try:
        if not url.startswith(DIALECT):
            raise ValueError("another dialect")
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # the cause would show the address with the password
        raise InstanceError(
            "DAGSTER_POSTGRES_URL is not the address of a Postgres; write postgresql+psycopg2://USER:PASSWORD@HOST/NAME"
        ) from None
    reason = _silence(parsed)
    if reason is not None:
        where = f"{parsed.host or parsed.query.get('host') or 'the local socket'}:{parsed.port or 5432}"
        raise InstanceError(
            f"the Postgres at {where}, database {parsed.database!r} (DAGSTER_POSTGRES_URL), does not answer "
            f"({reason}); start it, correct the address, or unset the variable to use the embedded one"
        )
    return url


def _silence(url: sqlalchemy.URL) -> str | None:
    """Return None if a connection can be made, else the reason in a few words, without a secret."""
    engine = sqlalchemy.create_engine(
        url, poolclass=sqlalchemy.pool.NullPool, connect_args={"connect_timeout": embedded_postgres.CONNECT_TIMEOUT_S}
    )
    try:
        engine.connect().close()
    except sqlalchemy.exc.DBAPIError as error:
        lines = str(error.orig).strip().splitlines()
    else:
        return None
    text = (lines[0] if lines else "no reason given").rstrip(".")[:200]
    passwords = [str(secret) for secret in (url.password, url.query.get("password")) if secret]
    hidden = any(form in text for secret in passwords for form in (secret, quote(secret, safe="")))
    return "connection failed" if hidden else text
