"""The internals of Dagster's daemon that we use do what we need; a newer Dagster that changes them fails here."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from dagster import DagsterInstance
from dagster._daemon import controller
from dagster._daemon.backfill import execute_backfill_iteration_loop

from crypto_assets.dagster_internals import daemon


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
