"""The rest of a failed run: what can be derived without the table that failed.

Dagster does not run what depends on a step that failed, so one provider's outage in a tick would empty the features of
every coin. The derived tables that still have an input to give them rows are wished; what the failed one would have
filled stays null, and is derived again when its rows are there. No provider is called here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from datetime import date

from dagster import DagsterEventType, DagsterInstance, DagsterRun

from crypto_assets.automation.planner.specs import Specs
from crypto_assets.automation.planner.state import days_of_run
from crypto_assets.automation.planner.wishes import Wish
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
    """The days of a derived table that a failed run could have had.

    Args:
        table: One of the run's tables.
        specs: The declarations.
        wanted: The tables of the run. An input that is not one of them counts as there.
        good: Table of the run to its days that are there.
        failed: Tables that failed themselves, and so cannot be had.
        everything: The days of the run.

    Returns:
        The days on which any one of its required inputs is there; none for a table that is not derived.
    """
    if table not in specs.required_inputs or table in failed or table not in wanted:
        return set()
    inputs = specs.required_inputs[table]
    return {day for name in inputs for day in (good.get(name, set()) if name in wanted else everything)}


def derivable(wanted: Set[str], done: Set[str], failed: Set[str], specs: Specs) -> list[str]:
    """Of the wanted tables those not done that can be derived: an input that gives rows is done, or is not of this run."""
    one = {date.min}  # every day of a run that failed as a whole is like the others
    good = {table: one for table in done}
    for table in specs.required_inputs:  # inputs come before what is derived from them
        if table not in done and (
            found := derivable_days(table, specs, wanted=wanted, good=good, failed=failed, everything=one)
        ):
            good[table] = found
    return [table for table in specs.required_inputs if table in good and table not in done]


def wishes(instance: DagsterInstance, run: DagsterRun, specs: Specs) -> list[Wish]:
    """The days of the run, of every table that can be derived without what failed."""
    span = days_of_run(run)
    if span is None:
        return []
    wanted, done, failed = _steps(instance, run)
    what = ", ".join(sorted(failed & wanted)) or "a step"
    return [
        Wish(table, day, f"rest of failed run {run.run_id[:8]}: {what} failed, and {table} can be derived without it")
        for table in derivable(wanted, done, failed, specs)
        for day in days(*span)
    ]


def _steps(instance: DagsterInstance, run: DagsterRun) -> tuple[set[str], set[str], set[str]]:
    """The steps that a run wanted, did and failed; the step of a derived table has its name."""
    snapshot = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id or "")
    wanted = {str(key).split("[")[0] for key in snapshot.step_keys_to_execute}
    ended: dict[DagsterEventType, set[str]] = {}
    for kind in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE):
        records = instance.get_records_for_run(run.run_id, of_type=kind).records
        ended[kind] = {str(record.event_log_entry.step_key) for record in records}
    return wanted, ended[DagsterEventType.STEP_SUCCESS], ended[DagsterEventType.STEP_FAILURE]
