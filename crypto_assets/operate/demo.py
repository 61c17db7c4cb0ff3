"""The demo: the main job on the sandbox, over the same state that ``make dev`` shows afterwards."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from dagster import DagsterInstance

from crypto_assets.dates import DAY, today
from crypto_assets.operate import graph
from crypto_assets.operate.backfill import BackfillReport, Progress, backfill
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings, variable
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import demo_warm_up, look_back

# History that the features of the first demo day need: the longest look-back of a derived table.
WARM_UP_DAYS = max(reach for inputs in look_back().values() for reach in inputs.values())
WARM_UP_TABLES = demo_warm_up()

ASKED_BY = "crypto-assets demo"  # in the tags of its runs


@dataclass(frozen=True)
class DemoDays:
    """The days of the demo, and the day from which it fetches history for them."""

    start: date
    end: date
    warm_up: date


def choose_days(settings: Settings, count: int, end: date | None, data: Path | None) -> DemoDays:
    """Choose the days of the demo.

    Args:
        settings: the start of the calendar.
        count: the number of days.
        end: the last day; None for today, or for the newest day that every kind of recording covers.
        data: the folder of recordings; None for a generated market.

    Returns:
        The days.

    Raises:
        UsageError: the folder has no recordings, or they have no day in common.
    """
    from crypto_assets.sandbox.replay import overlap

    first = settings.start
    if data is not None:
        first, newest = overlap(data)
        first = max(first, settings.start)
        end = end or newest
    end = end or today()
    start = max(end - DAY * (count - 1), first)
    return DemoDays(start, end, max(start - DAY * WARM_UP_DAYS, first))


def point_at(sandbox: Sandbox) -> None:
    """Send this process's requests to the sandbox, without any key.

    A model for which both server and name were configured is still used; it may judge generated headlines too.

    Args:
        sandbox: the running sandbox.
    """
    env = sandbox.env()
    if variable("OLLAMA_HOST") and variable("OLLAMA_MODEL"):
        env = {name: value for name, value in env.items() if not name.startswith("OLLAMA_")}
    for name in ("COINGECKO_API_KEY", "COINGECKO_PLAN", "COINMETRICS_API_KEY"):
        os.environ.pop(name, None)
    os.environ.update(env)


def run(instance: DagsterInstance, settings: Settings, days: DemoDays, progress: Progress) -> BackfillReport:
    """Fetch history where it is missing, then materialise every table for the days of the plan.

    Args:
        instance: the Dagster instance.
        settings: the warehouse.
        days: the plan.
        progress: called as the work goes on.

    Returns:
        The report of the days of the plan.
    """
    warehouse = Warehouse(settings.warehouse)
    if days.warm_up < days.start:
        history = backfill(
            instance,
            warehouse,
            WARM_UP_TABLES,
            days.warm_up,
            days.start - DAY,
            missing_only=True,
            progress=progress,
            asked_by=ASKED_BY,
        )
        if history.failures:
            return history
    return backfill(instance, warehouse, graph.tables(), days.start, days.end, progress=progress, asked_by=ASKED_BY)
