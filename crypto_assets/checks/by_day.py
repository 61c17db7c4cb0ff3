"""What a check says of each single day of a range: the check's own measure over that day alone.

A run over a range judges the range and, for the checks that are named here, each of its days. Both come from one measure,
so that a day's report says what ``status`` says of that day. The rows of the range are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date

from crypto_assets.checks import measures, population
from crypto_assets.checks.outcome import Chart, Measure, Outcome, Scope
from crypto_assets.dates import days
from crypto_assets.storage.snapshot import DaysInMemory, SnapshotWarehouse
from crypto_assets.tables.registry import CONTRACTS, TABLES

# The checks whose subject is a day's rows. The others judge the table, the platform or the present.
OF_A_DAY = frozenset({
    "contract", "rows_expected", "fresh_partitions", "set_aside", "agreement", "enhanced_over_base", "analysis_health",
    "premium_share", "feature_population",
})  # fmt: skip

SPAN = ("first_day", "last_day")  # numbers of an outcome that covers more days than its run

Judged = tuple[Outcome, Mapping[date, Outcome]]


def judges_days(table: str, check: str) -> bool:
    """Whether the check reports each day: its subject is a day, and runs fill the table by day."""
    return check in OF_A_DAY and TABLES[table].by_day and TABLES[table].is_asset


def judge(table: str, check: str, measure: Measure, scope: Scope) -> Judged:
    """What the check says of the range, and of each of its days by itself.

    Args:
        table: the table.
        check: the check's name; one for which :func:`judges_days` holds.
        measure: its measure.
        scope: the range; its warehouse is a snapshot, so that all reads see one version.

    Returns:
        The outcome of the range, and day -> outcome. A day is judged by its rows, also where the platform is live: what
        the present says is in the outcome of the range. Days before the first partition have none: they are the history
        of a demo, and no page shows them.

    Raises:
        WarehouseError: a table cannot be read.
    """
    shortcut = _SHORTCUTS.get(check)
    if shortcut is not None:
        return shortcut(table, measure, scope)
    return measure(scope), _each_day(table, measure, scope)


def _each_day(table: str, measure: Measure, scope: Scope) -> dict[date, Outcome]:
    held = scope.warehouse
    if isinstance(held, SnapshotWarehouse):
        held = DaysInMemory(held, scope.start, scope.end)
    one = replace(scope, warehouse=held, live=False)
    return {day: _small(measure(replace(one, start=day, end=day))) for day in _partitions(table, scope)}


def _partitions(table: str, scope: Scope) -> list[date]:
    return [day for day in days(max(scope.start, scope.settings.start), scope.end) if TABLES[table].cadence.has(day)]


def _small(outcome: Outcome) -> Outcome:
    """Without pictures, lists and the span, which is the day itself: there is a report for every day, and all are kept."""
    kept = {
        name: value
        for name, value in outcome.numbers.items()
        if not isinstance(value, Chart | Mapping) and name not in SPAN
    }
    return replace(outcome, numbers=kept)


def _contract(table: str, measure: Measure, scope: Scope) -> Judged:
    """Where no row of the range breaks a rule, no row of a day does, and only the days' rows are to be counted."""
    whole = measure(scope)
    if not whole.passed:
        return whole, _each_day(table, measure, scope)
    counted = scope.warehouse.days_with_rows(CONTRACTS[table].table, scope.start, scope.end)
    return whole, {day: measures.contract_outcome([], counted.get(day, 0)) for day in _partitions(table, scope)}


def _population(table: str, measure: Measure, scope: Scope) -> Judged:
    """The cells are counted by day anyway, and what is expected of them rests on days before."""
    found = population.measure_population(scope)
    return population.outcome_of(found, scope), {
        day: population.outcome_of_day(found, day) for day in _partitions(table, scope)
    }


_SHORTCUTS: dict[str, Callable[[str, Measure, Scope], Judged]] = {
    "contract": _contract,
    "feature_population": _population,
}
