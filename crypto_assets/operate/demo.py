"""The demo: the main job on the sandbox, over the same state that ``make dev`` shows afterwards.

Dagster is loaded in :func:`run`, after :func:`settle` has said on which day the calendar of this process begins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto_assets.dates import DAY, parse_day, today
from crypto_assets.demo_home import DemoHome
from crypto_assets.errors import CryptoAssetsError, InstanceError
from crypto_assets.runtime.lock import only_one
from crypto_assets.sandbox.generator import Generator
from crypto_assets.sandbox.replay import Replay, overlap
from crypto_assets.settings import DEFAULT_START, Settings, variable
from crypto_assets.storage.origin import LIVE, SANDBOX
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import LOOK_BACK, REQUIRED_INPUTS, demo_history, monthly

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from crypto_assets.operate.backfill import BackfillReport, Progress

SEED = 7  # of the generated market
HISTORY = demo_history()  # table -> days before the first demo day, whose features need them

TRAINING_DAYS = 90  # of features before the month, that its models are trained on
TRAINED_ON = "ml_features"

ASKED_BY = "crypto-assets demo"  # in the tags of its runs


@dataclass(frozen=True)
class DemoDays:
    """The days of the demo, and the first day of the history that it fetches for them.

    ``last_day`` is the last one that the recordings know; None for a generated market.
    """

    start: date
    end: date
    warm_up: date
    last_day: date | None = None

    @property
    def month(self) -> date:
        """The month whose models serve the first day: a training has the first day of its month."""
        return (self.start - DAY).replace(day=1)

    @property
    def trained_from(self) -> date:
        """The first day of the features that the models are trained on."""
        return max(self.month - DAY * TRAINING_DAYS, self.warm_up)


def earliest() -> date:
    """Return the first day that a demo may have: that of the environment, whatever the home remembers.

    Raises:
        UsageError: CRYPTO_ASSETS_START is not a date.
    """
    return parse_day(variable("CRYPTO_ASSETS_START") or DEFAULT_START, "CRYPTO_ASSETS_START")


def choose_days(first: date, count: int, end: date | None, data: Path | None) -> DemoDays:
    """Choose the days of the demo.

    Args:
        first: the first day that it may have.
        count: the number of days.
        end: the last day; None for today, or for the newest day that every kind of recording covers.
        data: the folder of recordings; None for a generated market.

    Returns:
        The plan.

    Raises:
        UsageError: the folder has no recordings, or they have no day in common.
    """
    last_day = None
    if data is not None:
        oldest, newest = overlap(data)
        first = max(first, oldest)
        end = end or newest
        last_day = max(end, newest)
    end = end or today()
    start = max(end - DAY * (count - 1), first)
    return DemoDays(start, end, max(start - DAY * max(HISTORY.values()), first), last_day)


def alone(settings: Settings) -> AbstractContextManager[None]:
    """Hold the home for one demo at a time.

    Args:
        settings: the home.

    Raises:
        InstanceError: another demo works on it.
    """
    return only_one(settings.home / "demo.lock", f"process {os.getpid()}", "crypto-assets demo")


def settle(settings: Settings, chosen: DemoDays, data: Path | None) -> DemoHome:
    """Make the home a demo's home, or see that it is the home of this demo, and let the calendar reach its history.

    A home that an older version's demo filled becomes one too; its tables stay.

    Args:
        settings: the home.
        chosen: the days.
        data: the folder of recordings; None for a generated market.

    Returns:
        What the home remembers from now on.

    Raises:
        CryptoAssetsError: the home holds the rows of real providers or of another sandbox, or cannot be written.
    """
    known, stored = settings.demo, Warehouse(settings.warehouse).origins()
    asked = DemoHome(
        None if data is not None else SEED,
        None if data is None else data.resolve(),
        settings.coins,
        chosen.start,
        chosen.last_day,
    )
    if LIVE in stored:
        raise CryptoAssetsError(
            f"{settings.warehouse} holds rows of real providers ({stored[LIVE]}), and a sandbox's rows never go among them; "
            "run the demo in a home of its own: crypto-assets demo --home NEW (and unset CRYPTO_ASSETS_WAREHOUSE where it is set)"
        )
    before = known.sandbox if known else _mark(stored)
    if (known is not None and not known.same_sandbox(asked)) or (known is None and before not in ("", _mark_of(data))):
        raise CryptoAssetsError(
            f"{settings.home} is the home of a demo with another sandbox ({before}, not {asked.sandbox}), and rows of two "
            "are not mixed; give this one its own: crypto-assets demo --home NEW"
        )
    if known is not None:
        ends = [day for day in (known.last_day, asked.last_day) if day is not None]
        asked = replace(asked, first_day=min(known.first_day, asked.first_day), last_day=max(ends) if ends else None)
    try:
        asked.write(settings.home)
    except OSError as error:
        raise InstanceError(
            f"{settings.home} cannot be written ({error.strerror}); set CRYPTO_ASSETS_HOME to a folder you may write"
        ) from error
    # The history of the look-backs lies before the first partition that the home shows.
    os.environ["CRYPTO_ASSETS_START"] = min(chosen.warm_up, asked.first_day).isoformat()
    return asked


def _mark(stored: Mapping[str, str]) -> str:
    """The sandbox's mark on the rows that are stored; empty where there are none."""
    return stored.get(SANDBOX, "").partition("/")[0]


def _mark_of(data: Path | None) -> str:
    return Generator.mark if data is None else Replay.mark


def run(
    instance: DagsterInstance, settings: Settings, home: DemoHome, chosen: DemoDays, progress: Progress
) -> tuple[BackfillReport, dict[str, Any]]:
    """Fetch history where it is missing, then materialise every table for the days of the plan, and what has no days.

    The state of the days is measured while what has no days is made.

    Args:
        instance: the Dagster instance.
        settings: the warehouse and the home folder.
        home: what the home remembers.
        chosen: the plan.
        progress: called as the work goes on.

    Returns:
        The report of the days of the plan, and the document of their ``status``.
    """
    from crypto_assets.assets.run_tags import reason_tags
    from crypto_assets.operate import graph, runs
    from crypto_assets.operate.backfill import backfill
    from crypto_assets.operate.status import status

    # The calendar of this process has begun by now; reports and checks look at the home's own days.
    os.environ["CRYPTO_ASSETS_START"] = home.first_day.isoformat()
    warehouse, recorded = Warehouse(settings.warehouse), home.data is not None
    measure = partial(status, instance, Settings.from_env(), chosen.start, chosen.end, recorded=recorded)
    before = _prepare(instance, warehouse, chosen, progress)
    if before.failures:
        return before, measure()
    tables = graph.tables()
    report = backfill(instance, warehouse, tables, chosen.start, chosen.end, progress=progress, asked_by=ASKED_BY)
    with ThreadPoolExecutor(max_workers=1) as beside:
        measured = beside.submit(measure)
        made = runs.execute_unpartitioned(instance, reason_tags(f"{ASKED_BY}: what belongs to the moment"))
    report.failures.update(made.failures)
    if not _whole(instance, tables, home.first_day, chosen.start - DAY):  # days that no demo filled lie between
        replace(home, first_day=chosen.start).write(settings.home)
    return report, measured.result()


def _prepare(instance: DagsterInstance, warehouse: Warehouse, chosen: DemoDays, progress: Progress) -> BackfillReport:
    """Fill the history and train the models, where they are missing; stop where something fails."""
    from crypto_assets.operate.backfill import backfill

    for first, tables in _history_ranges(chosen):
        if _whole(instance, tables, first, chosen.start - DAY):
            continue
        history = backfill(
            instance,
            warehouse,
            tables,
            first,
            chosen.start - DAY,
            missing_only=True,
            progress=progress,
            asked_by=ASKED_BY,
        )
        if history.failures:
            return history
    return _train(instance, warehouse, chosen, progress)


def _train(instance: DagsterInstance, warehouse: Warehouse, chosen: DemoDays, progress: Progress) -> BackfillReport:
    """Derive the features of three months before the demo's month, and train its models on them.

    They are history, as the rows that features look back on: no page of the demo shows their days.
    """
    from crypto_assets.operate.backfill import BackfillReport, backfill

    report, asked = BackfillReport(), f"{ASKED_BY}: what the models are trained on"
    steps = [(TRAINED_ON, chosen.trained_from, chosen.month - DAY)] if chosen.trained_from < chosen.month else []
    for table in monthly() if steps else ():
        steps.append((table, chosen.month, chosen.month))
    for table, first, last in steps:
        if not _whole(instance, [table], first, last) and not report.failures:
            report = backfill(
                instance, warehouse, [table], first, last, missing_only=True, progress=progress, asked_by=asked
            )
    return report


def _history_ranges(chosen: DemoDays) -> list[tuple[date, list[str]]]:
    """First day of a history, and the tables that have it; the longest, which the others read, comes first.

    The tables that give features their rows reach back further: the models' features look back from their own first day.
    """
    found: dict[date, list[str]] = {}
    for table, count in HISTORY.items():
        first = chosen.start - DAY * count
        if table in REQUIRED_INPUTS[TRAINED_ON]:
            first = min(first, chosen.trained_from - DAY * LOOK_BACK[TRAINED_ON][table])
        found.setdefault(max(first, chosen.warm_up), []).append(table)
    return sorted(found.items())


def _whole(instance: DagsterInstance, tables: Sequence[str], start: date, end: date) -> bool:
    """Whether each day of each table is materialised; also true of no days."""
    from crypto_assets.assets.partition_states import one_look
    from crypto_assets.operate.backfill import partition_statuses, partitions_of

    with one_look(instance, tables):
        found = [partition_statuses(instance, table, partitions_of(table, start, end)) for table in tables]
    return all(status == "MATERIALIZED" for statuses in found for status in statuses.values())
