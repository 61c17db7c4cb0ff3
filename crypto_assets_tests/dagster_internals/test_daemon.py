"""The internals of Dagster's daemon that we use do what we need; a newer Dagster that changes them fails here."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance
from dagster._daemon import cli, controller
from dagster._daemon.backfill import execute_backfill_iteration_loop
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import text

from crypto_assets.dagster_internals import daemon
from crypto_assets.dagster_internals.postgres import Storage


class Pauses:
    """An event that nobody sets: remembers for how long it was waited for, and does not wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return False


def test_it_looks_for_backfills_every_two_seconds(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "DEFAULT_DAEMON_INTERVAL_SECONDS", controller.DEFAULT_DAEMON_INTERVAL_SECONDS)
    assert pause(instance) > 15, "if Dagster's own is as quick, this module is not needed"
    daemon.look_often()
    assert 0 <= pause(instance) <= daemon.EVERY_S


def pause(instance: DagsterInstance) -> float:
    """For how long the loop over backfills waits after its first look."""
    pauses = Pauses()
    loop = execute_backfill_iteration_loop(SimpleNamespace(instance=instance), logging.getLogger("test"), pauses)
    while not pauses.seconds:
        next(loop)
    return pauses.seconds[0]


def test_all_its_storages_keep_connections(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the command on: the controller, of which the stock one never ends, is given the instance."""
    given: list[DagsterInstance] = []

    def controller(found: DagsterInstance, **named: object) -> None:
        given.append(found)
        for storage in (found.run_storage, found.event_log_storage, found.schedule_storage):
            assert isinstance(storage, Storage)
            log = isinstance(storage, PostgresEventLogStorage)
            backends: list[object] = []
            for _ in range(2):
                with storage.index_connection() if log else storage.connect() as connection:
                    backends.append(connection.execute(text("SELECT pg_backend_pid()")).scalar())
            assert backends[0] == backends[1], (storage, named)
        raise KeyboardInterrupt  # as Ctrl-C: the command ends

    monkeypatch.setattr(cli, "daemon_controller_from_instance", controller)
    daemon.keep_its_connections()
    (tmp_path / "empty.py").write_text("import dagster as dg; defs = dg.Definitions()")
    done = CliRunner().invoke(cli.run_command, ["-f", str(tmp_path / "empty.py")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(given) == 1
