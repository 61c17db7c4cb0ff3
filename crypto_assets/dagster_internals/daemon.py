"""Dagster's daemon with two changes: ``python -m crypto_assets.dagster_internals.daemon run …``.

Dagster's own looks for backfills every 30 seconds, and no setting changes that. So a backfill from the UI stands still for up to
half a minute before its first run, and for as long after its last.

Dagster's own also opens a connection to Postgres for each of the hundreds of questions that it asks in a minute. While nothing
happens, that is most of what a platform computes. This one keeps a few connections, as the webserver does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dagster import DagsterInstance
from dagster._daemon import cli, controller

from crypto_assets.dagster_internals.postgres import Storage, keep_connections

__all__: list[str] = []  # a program, which nothing imports

EVERY_S = 2  # as often as queued runs are started; the query is cheap
KEPT = 3  # connections of each storage: more threads than that seldom ask at once


def look_often() -> None:
    """Shorten the pause between two looks, in this process. The loop over backfills reads its length as it begins."""
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = EVERY_S


def keep_its_connections() -> None:
    """Let the storages of the daemon's instance keep connections open, in this process."""
    stock: Callable[..., Any] = cli.daemon_controller_from_instance

    def keeping(instance: DagsterInstance, *arguments: Any, **named: Any) -> Any:
        for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
            if isinstance(storage, Storage):  # not those of an instance that someone else configured
                keep_connections(storage, KEPT)
        return stock(instance, *arguments, **named)

    cli.daemon_controller_from_instance = keeping


if __name__ == "__main__":
    look_often()
    keep_its_connections()
    cli.main()
