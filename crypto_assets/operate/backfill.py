"""Backfills from the command line: the requested days, retries of what failed, and days that became stale.

The planner (``automation/planner``) makes the runs. This module executes them in this process, one after the other. Within a
run, several providers are asked at the same time (``dagster_internals/side_by_side.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any

from dagster import DagsterInstance

from crypto_assets.assets.partition_states import one_look, states_of
from crypto_assets.automation import staleness
from crypto_assets.automation.planner import observed_state, specs
from crypto_assets.automation.planner.plan import PlannedRun, plan
from crypto_assets.automation.planner.reasons import command, rest_of_run
from crypto_assets.automation.planner.requests import tags_of
from crypto_assets.automation.planner.rules import COMMAND, HEALING, Rules
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.dates import days, today
from crypto_assets.operate import graph, runs
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import TABLES

GIVE_UP_AFTER = 3  # runs in a row without a success: the provider is down

Progress = Callable[[str, int, int], None]  # text, partitions done, partitions in total


@dataclass
class BackfillReport:
    """The result of a backfill.

    Attributes:
        partitions: Table -> numbers of requested, materialized and failed partitions.
        rows: Table -> rows in the range.
        seconds: How long it took.
        failures: Table -> why it failed, in one sentence.
        broken_checks: Table -> which checks raised an error, and why.
    """

    partitions: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    broken_checks: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing failed and every requested partition is materialised."""
        return not self.failures and all(p["materialized"] == p["requested"] for p in self.partitions.values())

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``backfill --json``."""
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
    not_since: datetime | None = None,
    progress: Progress = lambda *_: None,
    asked_by: str = "crypto-assets backfill",
) -> BackfillReport:
    """Materialise a range of days of these tables. A failed run is reported, and the others go on.

    Args:
        instance: Where the runs are recorded.
        warehouse: Where the tables are.
        tables: What to materialise, inputs first.
        start: The first day, UTC.
        end: The last day, included.
        missing_only: Only days that are not materialised, and coins whose rows materialised days lack.
        not_since: Only days that were not materialised at or after this instant, where it is given.
        progress: Called before each run and at the end.
        asked_by: The command that the reason of the runs names.

    Returns:
        What was done and what failed.

    Raises:
        WarehouseError: A table cannot be read.
    """
    began = time.monotonic()
    runs.fail_dead_runs(instance)
    wanted = _wanted(instance, tables, start, end, missing_only)
    if not_since is not None:
        for table, listed in wanted.items():
            records = staleness.newest_records(instance, table, start, end)
            done = {day for day, record in records.items() if record.timestamp >= not_since.timestamp()}
            wanted[table] = [day for day in listed if day not in done]
    what = "what is missing of " if missing_only else ""
    work = _Work(instance, warehouse, progress)
    work.run_all(planned(command.asked(wanted, f"{asked_by}: {what}{start} to {end}")))
    if missing_only:
        for table in tables:
            for coins, first, last in observed_state.lacking_coins(instance, table, start, end):
                work.retry_coins(table, coins, first, last)
    report = work.report
    if not report.failures:
        work.refresh_stale([table for table in tables if wanted[table]], start, end)
    for table, sentence in report.broken_checks.items():  # the rows are stored and used, but not checked
        report.failures.setdefault(f"checks of {table}", sentence)
    with one_look(instance, tables):
        for table in tables:
            report.partitions[table] = _counted(instance, table, wanted[table])
            report.rows[table] = sum(warehouse.days_with_rows(table, start, end).values())
    report.seconds = time.monotonic() - began
    return report


def planned(wanted_days: Iterable[WantedDay], rules: Rules = COMMAND) -> list[PlannedRun]:
    """Plan the runs of a command. They are not left to runs under way, and attempts are not limited.

    Args:
        wanted_days: The days.
        rules: The rules of a command, or of its healing.

    Returns:
        The runs, in order.
    """
    return plan(wanted_days, rules, specs.current(), now=datetime.now(timezone.utc)).runs


def partitions_of(table: str, start: date, end: date) -> list[date]:
    """Return the days of start..end (both included) on which a partition of the table begins."""
    return [day for day in days(start, end) if TABLES[table].cadence.has(day)]


def partition_statuses(instance: DagsterInstance, table: str, wanted: Sequence[date]) -> dict[str, str]:
    """Return partition key -> MATERIALIZED, FAILED, IN_PROGRESS or MISSING, as in the UI, for the wanted days."""
    if not wanted:
        return {}
    known = states_of(instance, table, min(wanted), max(wanted))
    return {day.isoformat(): known.get(day, "MISSING") for day in wanted}


def _counted(instance: DagsterInstance, table: str, wanted: Sequence[date]) -> dict[str, int]:
    statuses = partition_statuses(instance, table, wanted)
    return {
        "requested": len(wanted),
        "materialized": sum(status == "MATERIALIZED" for status in statuses.values()),
        "failed": sum(status == "FAILED" for status in statuses.values()),
    }


def _wanted(
    instance: DagsterInstance, tables: Sequence[str], start: date, end: date, missing_only: bool
) -> dict[str, list[date]]:
    everything = {table: partitions_of(table, start, end) for table in tables}
    if not missing_only:
        return everything
    with one_look(instance, tables):
        return {
            table: [
                date.fromisoformat(key)
                for key, status in partition_statuses(instance, table, everything[table]).items()
                if status != "MATERIALIZED"
            ]
            for table in tables
        }


@dataclass
class _Work:
    """Executes planned runs and collects their results."""

    instance: DagsterInstance
    warehouse: Warehouse
    progress: Progress
    report: BackfillReport = field(default_factory=BackfillReport)

    def run_all(self, plan: Sequence[PlannedRun], rules: Rules = COMMAND) -> None:
        """Execute the runs in order. The rest of a failed run is tried in parts. Stop early when run after run fails."""
        total = sum(run.partitions for run in plan)
        done = failed_in_a_row = 0
        for run in plan:
            self.progress(f"{run.first} to {run.last}: {len(run.tables)} table(s)", done, total)
            outcome = self._execute(run, rules, _within(run, done, total, self.progress))
            if not outcome.stored:
                self._recover_partly(outcome, run)
            for table, coins in outcome.failed_coins.items():
                self.retry_coins(table, sorted(coins), run.first, run.last)
            done += run.partitions
            for table, sentence in outcome.failures.items():
                self.report.failures.setdefault(table, sentence)
            for table, sentence in outcome.broken_checks.items():
                self.report.broken_checks.setdefault(table, sentence)
            failed_in_a_row = 0 if outcome.stored else failed_in_a_row + 1
            if failed_in_a_row >= GIVE_UP_AFTER:
                return
        self.progress("done", total, total)

    def retry_coins(self, table: str, coins: Sequence[str], first: date, last: date) -> None:
        """Fetch coins that failed once more. Coins that fail again are reported, and ``--missing`` requests them later."""
        for run in planned(command.coins_that_failed(table, coins, days(first, last))):
            outcome = self._execute(run, COMMAND)
            still = outcome.failed_coins.get(table, {})
            sentence = outcome.failures.get(table) or next(iter(still.values()), None)
            if sentence is not None:
                names = ", ".join(sorted(still) or coins)
                self.report.failures.setdefault(
                    table, f"{table} {run.first} to {run.last} lacks {names}, the other coins are stored: {sentence}"
                )

    def refresh_stale(self, tables: Sequence[str], start: date, end: date) -> None:
        """Materialise stale derived partitions again, until none is left."""
        if not tables:
            return
        known = specs.current()
        last = min(staleness.last_affected_day(tables, end, trainings=True), max(end, today()))
        for _ in range(
            2 * len(known.look_back)
        ):  # one round repairs one table; more rounds mean that another process keeps writing
            wanted_days = command.stale(self.instance, self.warehouse, known, start, last)
            if not wanted_days:
                return
            self.run_all(planned(wanted_days, HEALING), HEALING)
            if self.report.failures:
                return

    def _execute(self, run: PlannedRun, rules: Rules, step: runs.StepListener = lambda *_: None) -> runs.RunOutcome:
        return runs.execute(self.instance, run.tables, run.first, run.last, run.coins, tags_of(run, rules), step)

    def _recover_partly(self, outcome: runs.RunOutcome, failed: PlannedRun) -> None:
        """Materialise the rest of a failed run: days that a short answer contained, and tables that can still be derived.

        The outage of one provider must not leave all coins without features. Columns from its rows stay null, and are
        derived again when the rows are there (``staleness``). Tables are made one by one, because each may be an input of
        the next.
        """
        everything = set(days(failed.first, failed.last))
        good = {table: everything for table in failed.tables if table in outcome.materialized}
        for table in failed.tables:
            if table in good:
                continue
            if outcome.absent.get(table):
                found = everything - set(outcome.absent[table])
                why = f"rest of failed run {outcome.run_id[:8]}: {table} has rows on the other days"
            else:
                found = self._derivable(table, outcome.failures, failed.tables, good, everything)
                why = f"rest of failed run {outcome.run_id[:8]}: {table} can be derived without what failed"
            good[table] = set()
            for run in planned(command.asked({table: found}, why)):
                if self._execute(run, COMMAND).stored:
                    good[table] |= set(days(run.first, run.last))

    @staticmethod
    def _derivable(
        table: str,
        failures: Mapping[str, str],
        tables: Sequence[str],
        good: dict[str, set[date]],
        everything: set[date],
    ) -> set[date]:
        return rest_of_run.derivable_days(
            table, specs.current(), wanted=tables, good=good, failed=failures, everything=everything
        )


def _within(run: PlannedRun, done: int, total: int, progress: Progress) -> runs.StepListener:
    """Move the progress on while a run works: each table that ends counts its days."""
    left = {table: run.partitions // len(run.tables) for table in run.tables}
    what = ""

    def step(name: str, ended: bool) -> None:
        nonlocal done, what
        tables = [table for table in graph.tables_of_step(name) if table in run.tables]
        if ended:
            done += sum(left.pop(table, 0) for table in tables)
        elif tables:
            what = f"{run.first} to {run.last}: {', '.join(tables)}"
        if tables:
            progress(what, done, total)

    return step
