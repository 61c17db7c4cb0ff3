"""The id of an installation is that of its database: the same for whoever asks, another for another database."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster_postgres import PostgresRunStorage
from sqlalchemy import text
from sqlalchemy.engine import make_url

from crypto_assets.runtime.kubernetes.installation import installation_id


def opened(url: str) -> Any:
    """What of an instance is asked, on another connection."""
    return SimpleNamespace(run_storage=PostgresRunStorage(url, should_autocreate_tables=False))


def test_everybody_who_asks_a_database_has_the_same_id(instance: DagsterInstance, url: str) -> None:
    found = installation_id(instance)
    assert found is not None
    assert installation_id(opened(url)) == found


def test_a_user_that_may_not_ask_goes_without(
    instance: DagsterInstance, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage = instance.run_storage
    assert isinstance(storage, PostgresRunStorage)
    with storage.connect() as connection:  # functions belong to this test's own database, users to the server
        connection.execute(text("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"))
        connection.execute(text("CREATE ROLE asks_nothing LOGIN PASSWORD 'asks_nothing'"))
    try:
        other = make_url(url).set(username="asks_nothing", password="asks_nothing")
        with caplog.at_level(logging.WARNING):
            assert installation_id(opened(other.render_as_string(hide_password=False))) is None
        assert "the database does not tell its id (permission denied for function pg_control_system" in caplog.text
    finally:
        with storage.connect() as connection:
            connection.execute(text("DROP ROLE asks_nothing"))


def test_another_database_than_postgres_tells_nothing() -> None:
    with DagsterInstance.ephemeral() as ephemeral:
        assert installation_id(ephemeral) is None
