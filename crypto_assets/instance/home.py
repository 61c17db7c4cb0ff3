"""The home folder of one installation: DAGSTER_HOME with its ``dagster.yaml``, and the instance opened on it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster import DagsterInstance

from crypto_assets.errors import InstanceError
from crypto_assets.instance.postgres import ensure_postgres
from crypto_assets.settings import Settings

TEMPLATE = Path(__file__).parent / "dagster.yaml"  # a link to the top-level file in a checkout


def prepare(settings: Settings) -> Path:
    """Make DAGSTER_HOME, start or reach Postgres, and set what Dagster and child processes read from the environment."""
    home = settings.home / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _refresh(home / "dagster.yaml", TEMPLATE.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstanceError(
            f"{settings.home} cannot be written ({error.strerror}); set CRYPTO_ASSETS_HOME to a folder you may write"
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["CRYPTO_ASSETS_HOME"] = str(settings.home)
    os.environ["CRYPTO_ASSETS_LOGS"] = str(settings.home / "logs")
    os.environ["DAGSTER_POSTGRES_URL"] = ensure_postgres(settings)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")  # one statement for many events of a ranged run
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    return home


def _refresh(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


@contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """The Dagster instance of this home. Raises :class:`InstanceError` when Postgres does not answer."""
    home = prepare(settings)
    with (home / "schema.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # two first commands at once must not both create the tables
        instance = DagsterInstance.get()
        instance.get_runs_count()
    with instance:
        yield instance
