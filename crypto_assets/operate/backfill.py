"""Backfills from the command line: ranged Dagster runs in bounded chunks, then whatever became stale by them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from dagster import DagsterInstance

from crypto_assets.assets.lineage import LOOK_BACK, REQUIRED_INPUTS
from crypto_assets.assets.partition_states import states_of
from crypto_assets.assets.shell import DERIVED_CHUNK_DAYS, SOURCE_CHUNK_DAYS, failed_coins_of, fitting_memory
from crypto_assets.automation import staleness
from crypto_assets.automation.staleness import newest_metadata
from crypto_assets.dates import DAY, chunks, days, runs_of, today
from crypto_assets.operate import runs
from crypto_assets.storage.warehouse import Warehouse

GIVE_UP_AFTER = 3  # chunks in a row that fail completely: the provider is down, not one day of it
HEAL_ROUNDS = 2 * len(LOOK_BACK)  # each round mends one table; more means someone else keeps writing

Run = tuple[tuple[str, ...], date, date]  # tables, first day, last day
Progress = Callable[[str, int, int], None]  # what, partitions done, partitions in all


@dataclass
class Report:
    """What a backfill did: per table the requested, materialised and failed partitions, rows in the range, seconds."""

    partitions: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    broken_checks: dict[str, str] = field(default_factory=dict)  # table -> which checks could not be made, and why

    @property
    def ok(self) -> bool:
        return not self.failures and all(p["materialized"] == p["requested"] for p in self.partitions.values())

    def as_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"partitions": self.partitions, "rows": self.rows, "seconds": round(self.seconds, 3)}
        if self.failures:
            document["failures"] = self.failures
        return document


def backfill(
    instance: DagsterInstance,
    warehouse: Warehouse,
    tables: Sequence[str],
    start: date,
    end: date,
    *,
    missing_only: bool = False,
    progress: Progress = lambda *_: None,
) -> Report:
    """Materialise the inclusive range of these tables. Failed chunks are reported, the others go on."""
    began = time.monotonic()
    runs.bury_dead_runs(instance)
    wanted = _wanted(instance, tables, start, end, missing_only)
    report = Report()
    _run_all(instance, _plan(wanted), report, progress)
    if missing_only:
        for table in tables:
            for coins, first, last in incomplete(instance, table, start, end):
                _retry_coins(instance, table, list(coins), first, last, report)
    if not report.failures:
        _heal(instance, warehouse, [table for table in tables if wanted[table]], start, end, report, progress)
    for table, sentence in report.broken_checks.items():  # the rows are stored, and derived from; nobody judged them
        report.failures.setdefault(f"checks of {table}", sentence)
    for table in tables:
        statuses = partition_statuses(instance, table, wanted[table])
        report.partitions[table] = {
            "requested": len(wanted[table]),
            "materialized": sum(status == "MATERIALIZED" for status in statuses.values()),
            "failed": sum(status == "FAILED" for status in statuses.values()),
        }
        report.rows[table] = sum(warehouse.days_with_rows(table, start, end).values())
    report.seconds = time.monotonic() - began
    return report


def partition_statuses(instance: DagsterInstance, table: str, wanted: Sequence[date]) -> dict[str, str]:
    """Partition key -> MATERIALIZED, FAILED, IN_PROGRESS or MISSING, as the UI has it."""
    if not wanted:
        return {}
    known = states_of(instance, table, min(wanted), max(wanted))
    return {day.isoformat(): known.get(day, "MISSING") for day in wanted}


def _wanted(
    instance: DagsterInstance, tables: Sequence[str], start: date, end: date, missing_only: bool
) -> dict[str, list[date]]:
    everything = days(start, end)
    if not missing_only:
        return {table: everything for table in tables}
    return {
        table: [
            date.fromisoformat(key)
            for key, status in partition_statuses(instance, table, everything).items()
            if status != "MATERIALIZED"
        ]
        for table in tables
    }


def incomplete(instance: DagsterInstance, table: str, start: date, end: date) -> list[Run]:
    """(coins, first day, last day) of materialised partitions that lack the rows of coins that failed."""
    by_coins: dict[tuple[str, ...], list[date]] = {}
    for day, metadata in newest_metadata(instance, table, start, end).items():
        if found := failed_coins_of(metadata):
            by_coins.setdefault(tuple(sorted(found)), []).append(day)
    return [(coins, *span) for coins, found_days in by_coins.items() for span in runs_of(found_days)]


def _plan(wanted: dict[str, list[date]]) -> list[Run]:
    """Runs as (tables, first day, last day): days that want the same tables go together, in chunks, oldest first."""
    by_set: dict[tuple[str, ...], list[date]] = {}
    for day in sorted({day for found in wanted.values() for day in found}):
        by_set.setdefault(tuple(t for t, found in wanted.items() if day in found), []).append(day)
    plan = []
    for tables, found in by_set.items():
        size = DERIVED_CHUNK_DAYS if set(tables) <= set(LOOK_BACK) else SOURCE_CHUNK_DAYS
        for first, last in runs_of(found):
            for chunk in chunks(first, last, size):
                plan += fitting_memory(tables, *chunk)
    return sorted(plan, key=lambda run: run[1])


def _run_all(instance: DagsterInstance, plan: list[Run], report: Report, progress: Progress) -> None:
    total = sum(len(tables) * ((last - first) // DAY + 1) for tables, first, last in plan)
    done = failed_in_a_row = 0
    for tables, first, last in plan:
        progress(f"{first} to {last}: {len(tables)} table(s)", done, total)
        outcome = runs.execute(instance, tables, first, last)
        if not outcome.stored:
            _recover_partly(instance, outcome, tables, first, last)
        for table, coins in outcome.failed_coins.items():
            _retry_coins(instance, table, sorted(coins), first, last, report)
        done += len(tables) * ((last - first) // DAY + 1)
        for table, sentence in outcome.failures.items():
            report.failures.setdefault(table, sentence)
        for table, sentence in outcome.broken_checks.items():
            report.broken_checks.setdefault(table, sentence)
        failed_in_a_row = 0 if outcome.stored else failed_in_a_row + 1
        if failed_in_a_row >= GIVE_UP_AFTER:
            return
    progress("done", total, total)


def _retry_coins(
    instance: DagsterInstance, table: str, coins: list[str], first: date, last: date, report: Report
) -> None:
    """Once more for the coins that failed alone; what fails again is reported, and ``--missing`` will ask for it."""
    outcome = runs.execute(instance, [table], first, last, coins)
    still = outcome.failed_coins.get(table, {})
    sentence = outcome.failures.get(table) or next(iter(still.values()), None)
    if sentence is not None:
        names = ", ".join(sorted(still) or coins)
        report.failures.setdefault(
            table, f"{table} {first} to {last} lacks {names}, the other coins are stored: {sentence}"
        )


def _recover_partly(
    instance: DagsterInstance, outcome: runs.RunOutcome, tables: Sequence[str], first: date, last: date
) -> None:
    """Materialise what a failed run could have: the days that a short answer did hold, and what can be derived.

    One provider's outage must not empty the features of every coin. What its rows would have filled stays null, and
    is derived again when they are there (``staleness``).
    """
    everything = set(days(first, last))
    good = {table: everything for table in tables if table in outcome.materialized}
    for table in tables:
        if table in good:
            continue
        wanted: set[date] = set()
        if table in REQUIRED_INPUTS and table not in outcome.failures:
            for giver in REQUIRED_INPUTS[table]:
                wanted |= good[giver] if giver in tables else everything
        elif outcome.absent.get(table):
            wanted = everything - set(outcome.absent[table])
        good[table] = set()
        for start, end in runs_of(wanted):
            if runs.execute(instance, [table], start, end).stored:
                good[table] |= set(days(start, end))


def _heal(
    instance: DagsterInstance,
    warehouse: Warehouse,
    tables: Sequence[str],
    start: date,
    end: date,
    report: Report,
    progress: Progress,
) -> None:
    """Materialise derived partitions again whose look-back was written after they read it, until none is left."""
    if not tables:
        return
    last = min(staleness.horizon(tables, end), max(end, today()))
    for _ in range(HEAL_ROUNDS):
        plan: list[Run] = []
        for table in LOOK_BACK:
            found = staleness.stale_days(instance, warehouse, table, start, last)
            if found:
                spans = [chunk for run in runs_of(found) for chunk in chunks(*run, DERIVED_CHUNK_DAYS)]
                plan = [run for span in spans for run in fitting_memory((table,), *span)]
                break  # what follows from this table is found in the next round
        if not plan:
            return
        _run_all(instance, plan, report, progress)
        if report.failures:
            return
