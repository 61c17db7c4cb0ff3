"""The Dagster home: made once, shared, refreshed, and refused in one sentence when it cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from crypto_assets.errors import InstanceError
from crypto_assets.runtime.event_log import BatchingPostgresEventLogStorage
from crypto_assets.runtime.home import TEMPLATE, open_instance, prepare
from crypto_assets.settings import Settings

COUNT_RUNS = """
from crypto_assets.runtime.home import open_instance
from crypto_assets.settings import Settings
with open_instance(Settings.from_env()) as instance:
    print(instance.get_runs_count())
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``prepare`` sets for child processes must not reach other tests."""
    for name in ("DAGSTER_POSTGRES_URL", "DAGSTER_HOME", "CRYPTO_ASSETS_HOME", "CRYPTO_ASSETS_LOGS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")


def database(postgres_url: str, name: str) -> str:
    connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return postgres_url.rsplit("/", 1)[0] + f"/{name}"


def test_two_first_commands_at_once_make_one_set_of_tables(postgres_url: str, home: Path) -> None:
    url = database(postgres_url, f"first_{os.getpid()}")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COUNT_RUNS],
            env={**os.environ, "CRYPTO_ASSETS_HOME": str(home / str(n)), "DAGSTER_POSTGRES_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(3)  # three homes, as on three machines: a lock file would not help
    ]
    answers = [process.communicate(timeout=300) for process in processes]
    assert [out.strip() for out, _ in answers] == ["0", "0", "0"], answers


def test_the_instance_is_what_the_file_says(postgres_url: str, settings: Settings) -> None:
    url = database(postgres_url, f"instance_{os.getpid()}")
    with open_instance(replace(settings, postgres_url=SecretStr(url))) as instance:
        assert isinstance(instance.event_log_storage, BatchingPostgresEventLogStorage)
        assert instance.telemetry_enabled is False
        assert instance.run_monitoring_enabled
        assert not instance.nux_enabled
    assert not (settings.home / "postgres").exists(), "an external server needs no embedded one"


def test_the_configuration_follows_the_package(postgres_url: str, settings: Settings) -> None:
    where = replace(settings, postgres_url=SecretStr(postgres_url))
    copy = prepare(where) / "dagster.yaml"
    copy.write_text("telemetry: {enabled: true}\n", encoding="utf-8")  # left by an older release
    prepare(where)
    assert copy.read_text(encoding="utf-8") == TEMPLATE.read_text(encoding="utf-8")


def test_tables_of_a_newer_dagster_are_refused_in_one_sentence(postgres_url: str, settings: Settings) -> None:
    url = database(postgres_url, f"newer_{os.getpid()}")
    where = replace(settings, postgres_url=SecretStr(url))
    with open_instance(where):
        pass
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    connection.cursor().execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    connection.close()
    with pytest.raises(InstanceError, match="another version of Dagster"), open_instance(where):
        pass


def test_a_postgres_that_ends_under_the_work_is_one_sentence(postgres_url: str, settings: Settings) -> None:
    where = replace(settings, postgres_url=SecretStr(database(postgres_url, f"under_{os.getpid()}")))
    said = r"failed in the middle \(.*connection.*\).*run the same command again"
    with pytest.raises(InstanceError, match=said), open_instance(where) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, BatchingPostgresEventLogStorage)
        with storage.index_connection() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
