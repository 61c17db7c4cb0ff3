"""Reason: the rest of a failed run, which can be derived without the table that failed.

Dagster skips every step that depends on a failed one, so the outage of one provider would leave all coins without
features. Derived tables that have another required input are wanted. Columns from the failed table stay null until its
rows are there; then late values derive them again. No provider is called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from datetime import date

from dagster import DagsterEventType, DagsterInstance, DagsterRun

from crypto_assets.automation.planner.observed_state import days_of_run
from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.wanted_days import WantedDay
from crypto_assets.dates import days


def derivable_days(
    table: str,
    specs: Specs,
    *,
    wanted: Collection[str],
    good: Mapping[str, set[date]],
    failed: Collection[str],
    everything: set[date],
) -> set[date]:
    """Find the days of a derived table that can be derived after a failed run.

    Args:
        table: One of the run's tables.
        specs: The tables.
        wanted: The tables of the run. Inputs that are not among them count as present.
        good: Table of the run -> its days that are present.
        failed: Tables whose own step failed.
        everything: The days of the run.

    Returns:
        The days on which a required input is present; none for a table that failed or is not derived.
    """
    if table not in specs.required_inputs or table in failed or table not in wanted:
        return set()
    inputs = specs.required_inputs[table]
    return {day for name in inputs for day in (good.get(name, set()) if name in wanted else everything)}


def derivable(wanted: Set[str], done: Set[str], failed: Set[str], specs: Specs) -> list[str]:
    """Return the tables of a failed run that can still be derived, inputs first.

    Args:
        wanted: The steps of the run.
        done: The steps that succeeded.
        failed: The steps that failed.
        specs: The tables.

    Returns:
        The tables with a required input that succeeded or is not part of the run.
    """
    one = {date.min}  # one day stands for all: a step succeeds or fails for all days of a run
    good = {table: one for table in done}
    for table in specs.required_inputs:  # inputs come before what is derived from them
        if table not in done and (
            found := derivable_days(table, specs, wanted=wanted, good=good, failed=failed, everything=one)
        ):
            good[table] = found
    return [table for table in specs.required_inputs if table in good and table not in done]


def wanted_days(instance: DagsterInstance, run: DagsterRun, specs: Specs) -> list[WantedDay]:
    """The days of the run, of every table that can be derived without what failed."""
    span = days_of_run(run)
    if span is None:
        return []
    wanted, done, failed = _steps(instance, run)
    what = ", ".join(sorted(failed & wanted)) or "a step"
    return [
        WantedDay(
            table, day, f"rest of failed run {run.run_id[:8]}: {what} failed, and {table} can be derived without it"
        )
        for table in derivable(wanted, done, failed, specs)
        if table not in specs.monthly  # the schedule of the trainings asks for them
        for day in days(*span)
    ]


def _steps(instance: DagsterInstance, run: DagsterRun) -> tuple[set[str], set[str], set[str]]:
    """Return the planned, succeeded and failed steps of a run. The step of a derived table has the table's name."""
    snapshot = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id or "")
    wanted = {str(key).split("[")[0] for key in snapshot.step_keys_to_execute}
    ended: dict[DagsterEventType, set[str]] = {}
    for kind in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE):
        records = instance.get_records_for_run(run.run_id, of_type=kind).records
        ended[kind] = {str(record.event_log_entry.step_key) for record in records}
    return wanted, ended[DagsterEventType.STEP_SUCCESS], ended[DagsterEventType.STEP_FAILURE]
