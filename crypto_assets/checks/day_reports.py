"""Dagster's reports of checks: one of a range, and one of each of its days, all of a step written together.

Dagster's own ``AssetCheckResult`` is of one partition or of none, and each is stored with statements of its own. A run
over a year has some thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg
from dagster import AssetCheckEvaluation, AssetKey

from crypto_assets.assets.plots import line_chart
from crypto_assets.checks.by_day import Judged
from crypto_assets.checks.outcome import Chart, Outcome
from crypto_assets.dagster_internals.core import (
    PARTITION_NAME_TAG,
    CheckTarget,
    check_reports,
    newest_materialisation,
    newest_materialisations,
)

Report = tuple[AssetCheckEvaluation, str]  # with its message in the run's log


def report(
    context: dg.AssetCheckExecutionContext, table: str, judged: Mapping[str, Judged]
) -> Iterator[dg.DagsterEvent]:
    """Report every day of the checks of one step, then the range, in one batch of events.

    The range comes last and belongs to no partition: Dagster takes a check's newest report for how the table stands,
    and that is not the last day alone.

    Args:
        context: the step.
        table: the table.
        judged: name of the check -> what it says of the range, and of each day.

    Yields:
        The events, for the step to yield.
    """
    key, instance, partition = AssetKey(table), context.instance, context.run.tags.get(PARTITION_NAME_TAG)
    wanted = {day.isoformat() for _, by_day in judged.values() for day in by_day}
    newest = newest_materialisations(instance, key, {*wanted, partition} if partition else wanted)
    of_the_days = max(newest.values(), key=lambda target: target.storage_id, default=None)
    # A concurrent run may fill another day meanwhile: the checks of a run of one day are about that day.
    of_the_table = newest.get(partition) if partition else newest_materialisation(instance, key)
    reports: list[Report] = []
    for check, (whole, by_day) in judged.items():
        for day, outcome in by_day.items():
            reports.append(_report(table, check, outcome, day.isoformat(), newest.get(day.isoformat())))
        reports.append(_report(table, check, whole, None, of_the_days if by_day else of_the_table))
    yield from check_reports(context.op_execution_context.get_step_execution_context(), reports)


def _report(table: str, check: str, outcome: Outcome, partition: str | None, target: CheckTarget | None) -> Report:
    evaluation = AssetCheckEvaluation(
        asset_key=AssetKey(table),
        check_name=check,
        partition=partition,
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity[outcome.severity],
        description=outcome.description,
        metadata=shown(outcome.numbers),
        blocking=False,
        target_materialization_data=target,
    )
    verdict = f"{check} of {table} {'passed' if outcome.passed else 'did not pass'}"
    return evaluation, f"{verdict}: {outcome.description}" if partition is None else f"{verdict} for {partition}."


def shown(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """An outcome's numbers as metadata: times as times, charts as pictures, the rest as it is."""
    return {name: _shown(value) for name, value in numbers.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, Chart):
        return dg.MetadataValue.md(line_chart(value.series, title=value.title, unit=value.unit))
    if isinstance(value, datetime):
        return dg.MetadataValue.timestamp(value)
    return dg.MetadataValue.json(value) if isinstance(value, dict) else value
