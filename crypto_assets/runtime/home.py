"""The home folder of one installation: DAGSTER_HOME with its ``dagster.yaml``, and the instance opened on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from crypto_assets.errors import InstanceError, first_line, free_space_note
from crypto_assets.lazy import lazy
from crypto_assets.proxies import spare_loopback
from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.settings import Settings

if TYPE_CHECKING:
    import alembic.util.exc as alembic_errors
    import dagster
    import sqlalchemy

    from crypto_assets.dagster_internals import postgres as internals
else:
    alembic_errors = lazy("alembic.util.exc")
    dagster = lazy("dagster")
    sqlalchemy = lazy("sqlalchemy")
    internals = lazy("crypto_assets.dagster_internals.postgres")

TEMPLATE = Path(__file__).parent / "dagster.yaml"  # in a checkout, a link to the top-level file
SCHEMA_LOCK = 0x63_61_73_73_65_74  # a number that no other program locks on the same Postgres


def prepare(settings: Settings) -> Path:
    """Create DAGSTER_HOME, start or reach Postgres, and set the environment that Dagster and child processes read.

    Args:
        settings: the home folder and the Postgres.

    Returns:
        DAGSTER_HOME.

    Raises:
        InstanceError: the folder cannot be used, or Postgres cannot be reached or started.
    """
    spare_loopback()
    home = settings.home / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _refresh(home / "dagster.yaml", TEMPLATE.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstanceError(
            f"{settings.home} cannot be written ({error.strerror}){free_space_note(error, settings.home)}; set CRYPTO_ASSETS_HOME to a folder you may write"
        ) from error
    os.environ["DAGSTER_POSTGRES_URL"] = ensure_postgres(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["CRYPTO_ASSETS_HOME"] = str(settings.home)
    os.environ["CRYPTO_ASSETS_LOGS"] = str(settings.home / "logs")
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    return home


def _refresh(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


@contextmanager
def open_instance(settings: Settings) -> Iterator[dagster.DagsterInstance]:
    """Open the Dagster instance of this home, with its tables created or migrated.

    Args:
        settings: the home folder and the Postgres.

    Yields:
        The instance.

    Raises:
        InstanceError: the instance cannot be opened, or its Postgres fails during the work inside.
    """
    prepare(settings)
    with _instance() as instance:
        try:
            yield instance
        except (
            sqlalchemy.exc.OperationalError,
            sqlalchemy.exc.InternalError,
            internals.DagsterPostgresException,
        ) as error:  # stopped, full, read-only
            raise InstanceError(
                f"Dagster's Postgres failed in the middle ({_reason(error)}); what was written to the tables is whole; "
                f"see that it runs and has space on its disk ({settings.home} where it is the embedded one), then run the "
                "same command again"
            ) from error


def _instance() -> dagster.DagsterInstance:
    try:
        with _one_at_a_time(os.environ["DAGSTER_POSTGRES_URL"]):
            instance = dagster.DagsterInstance.get()
            _bring_up_to_date(instance)
    except alembic_errors.CommandError as error:
        raise InstanceError(
            "the tables in Dagster's Postgres were made by another version of Dagster and cannot be brought up to date "
            f"({error}); install that version or point DAGSTER_POSTGRES_URL at an empty database"
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, internals.DagsterPostgresException) as error:
        raise InstanceError(
            f"Dagster's tables in Postgres cannot be used ({_reason(error)}); "
            "give the user of DAGSTER_POSTGRES_URL the right to create tables, or start the server again"
        ) from error
    return instance


def _reason(error: BaseException) -> str:
    if isinstance(error, internals.DagsterPostgresException) and error.__cause__ is not None:
        error = error.__cause__  # Dagster's own error says only that it tried often
    return first_line(getattr(error, "orig", None) or error)


@contextmanager
def _one_at_a_time(url: str) -> Iterator[None]:
    """Hold a lock, so that two first commands, even on two machines, do not both create the tables."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:  # the lock ends with the connection, however this process ends
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:number)"), {"number": SCHEMA_LOCK})
        yield


def _bring_up_to_date(instance: dagster.DagsterInstance) -> None:
    stores = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    revisions = [store.alembic_version() for store in stores if store is not None]
    if any(found != wanted for found, wanted in filter(None, revisions)):
        instance.upgrade()
