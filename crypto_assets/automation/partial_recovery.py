"""After a run in which a provider failed: derive what can be derived without it.

Dagster does not run what depends on a step that failed, so one provider's outage in a tick would empty the features of
every coin. This asks for the derived tables that still have an input to give them rows; what the failed one would have
filled stays null, and is derived again when its rows are there (``refill.py``). No provider is called here.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import date

import dagster as dg
from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRun, DefaultSensorStatus

from crypto_assets.assets.lineage import REQUIRED_INPUTS
from crypto_assets.assets.shell import fitting_memory
from crypto_assets.automation.refill import refill_job
from crypto_assets.checks.shells import PARTITION, RANGE

TAG = "crypto_assets/salvage_of"  # run tag: the run whose rest this is


def derivable(wanted: Set[str], done: Set[str], failed: Set[str]) -> list[str]:
    """Of the wanted tables those not done that can be derived: an input that gives rows is done, or is not of this run."""
    good = set(done)
    for table, givers in REQUIRED_INPUTS.items():  # inputs come before what is derived from them
        gives = any(giver in good or giver not in wanted for giver in givers)
        if table in wanted and table not in done | failed and gives:
            good.add(table)
    return [table for table in REQUIRED_INPUTS if table in good - set(done)]


def rest_of(instance: DagsterInstance, run: DagsterRun) -> list[str]:
    """The derived tables that a failed run never began and could have had."""
    snapshot = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id or "")
    wanted = {str(key).split("[")[0] for key in snapshot.step_keys_to_execute}
    ended: dict[DagsterEventType, set[str]] = {}
    for kind in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE):
        records = instance.get_records_for_run(run.run_id, of_type=kind).records
        ended[kind] = {str(record.event_log_entry.step_key) for record in records}
    return derivable(wanted, ended[DagsterEventType.STEP_SUCCESS], ended[DagsterEventType.STEP_FAILURE])


@dg.run_failure_sensor(request_job=refill_job, default_status=DefaultSensorStatus.RUNNING, minimum_interval_seconds=15)
def derive_without_what_failed(context: dg.RunFailureSensorContext) -> dg.SensorResult | dg.SkipReason:
    run = context.dagster_run
    span = {name: run.tags[name] for name in (PARTITION, *RANGE) if name in run.tags}
    if TAG in run.tags or not span:
        return dg.SkipReason(f"run {run.run_id} is itself such a rest, or has no days")
    found = rest_of(context.instance, run)
    if not found:
        return dg.SkipReason(f"nothing of run {run.run_id} can be derived without what failed")
    days = (span[PARTITION], span[PARTITION]) if PARTITION in span else (span[RANGE[0]], span[RANGE[1]])
    parts = fitting_memory(found, *map(date.fromisoformat, days))
    requests = [
        dg.RunRequest(
            run_key=run.run_id if len(parts) == 1 else f"{run.run_id}-{number}",
            asset_selection=[AssetKey(table) for table in tables],
            tags={TAG: run.run_id, RANGE[0]: str(first), RANGE[1]: str(last), "dagster/priority": str(10 - number)},
        )
        for number, (tables, first, last) in enumerate(parts)
    ]
    return dg.SensorResult(run_requests=requests)


SENSORS = [derive_without_what_failed]
