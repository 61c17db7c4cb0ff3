"""Dagster's reports of checks: one of a range, and one of each of its days, written together.

Dagster's own ``AssetCheckResult`` is of one partition or of none, and each is stored with statements of its own. A run
over a year has some thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import dagster as dg
from dagster import AssetCheckEvaluation, AssetKey

from crypto_assets.assets.plots import line_chart
from crypto_assets.checks.by_day import Judged
from crypto_assets.checks.outcome import Chart, Outcome
from crypto_assets.dagster_internals.core import CheckTarget, check_reports, newest_materialisations


class Reporter:
    """Reports checks of one table in one step."""

    def __init__(self, context: dg.AssetCheckExecutionContext, table: str) -> None:
        self._step = context.op_execution_context.get_step_execution_context()
        self._instance = context.instance
        self._table = table
        self._newest: dict[str, CheckTarget] = {}

    def report(self, check: str, output: str, judged: Judged) -> Iterator[Any]:
        """Report every day, then the range.

        The range comes last and belongs to no partition: Dagster takes a check's newest report for how the table stands,
        and that is not the last day alone.

        Args:
            check: the check's name.
            output: the output of the step that stands for the check.
            judged: what it says of the range and of each day.

        Yields:
            What a step's function yields: the events of the days, the output, the evaluation of the range.
        """
        whole, by_day = judged
        if not self._newest:
            keys = (day.isoformat() for day in by_day)
            self._newest = newest_materialisations(self._instance, AssetKey(self._table), keys)
        yield from check_reports(self._step, [self._of_day(check, day, outcome) for day, outcome in by_day.items()])
        yield dg.Output(None, output_name=output)
        newest = max(self._newest.values(), key=lambda target: target.storage_id, default=None)
        yield self._evaluation(check, whole, None, newest)

    def _of_day(self, check: str, day: date, outcome: Outcome) -> tuple[AssetCheckEvaluation, str]:
        key = day.isoformat()
        message = f"{check} of {self._table} {'passed' if outcome.passed else 'did not pass'} for {key}."
        return self._evaluation(check, outcome, key, self._newest.get(key)), message

    def _evaluation(
        self, check: str, outcome: Outcome, partition: str | None, target: CheckTarget | None
    ) -> AssetCheckEvaluation:
        return AssetCheckEvaluation(
            asset_key=dg.AssetKey(self._table),
            check_name=check,
            partition=partition,
            passed=outcome.passed,
            severity=dg.AssetCheckSeverity[outcome.severity],
            description=outcome.description,
            metadata=shown(outcome.numbers),
            blocking=False,
            target_materialization_data=target,
        )


def as_result(outcome: Outcome, table: str | None = None, name: str | None = None) -> dg.AssetCheckResult:
    """The result of a check that judges no single day."""
    return dg.AssetCheckResult(
        asset_key=table,
        check_name=name,
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity[outcome.severity],
        description=outcome.description,
        metadata=shown(outcome.numbers),
    )


def shown(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """An outcome's numbers as metadata: times as times, charts as pictures, the rest as it is."""
    return {name: _shown(value) for name, value in numbers.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, Chart):
        return dg.MetadataValue.md(line_chart(value.series, title=value.title, unit=value.unit))
    if isinstance(value, datetime):
        return dg.MetadataValue.timestamp(value)
    return dg.MetadataValue.json(value) if isinstance(value, dict) else value
