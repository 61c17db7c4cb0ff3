"""Dagster's daemon, but it looks for backfills every two seconds: ``python -m crypto_assets.dagster_internals.daemon run …``.

Dagster's own looks every 30 seconds, and no setting changes that. So a backfill from the UI stands still for up to half a
minute before its first run, and for as long after its last.
"""

from __future__ import annotations

from dagster._daemon import controller
from dagster._daemon.cli import main

__all__: list[str] = []  # a program, which nothing imports

EVERY_S = 2  # as often as queued runs are started; the query is cheap


def look_often() -> None:
    """Shorten the pause between two looks, in this process. The loop over backfills reads its length as it begins."""
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = EVERY_S


if __name__ == "__main__":
    look_often()
    main()
