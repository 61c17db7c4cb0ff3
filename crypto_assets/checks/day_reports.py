"""Dagster's reports of checks: one of a range, and one of each of its days, written together.

Dagster's own ``AssetCheckResult`` is of one partition or of none, and each is stored with statements of its own. A run
over a year has some thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import dagster as dg
from dagster import AssetCheckEvaluation, DagsterEvent, DagsterEventType
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.events import DagsterEventBatchMetadata, generate_event_batch_id

from crypto_assets.assets.partition_states import Materialised, newest_materialised
from crypto_assets.assets.plots import line_chart
from crypto_assets.checks.by_day import Judged
from crypto_assets.checks.outcome import Chart, Outcome


class Reporter:
    """Reports checks of one table in one step."""

    def __init__(self, context: dg.AssetCheckExecutionContext, table: str) -> None:
        self._step = context.op_execution_context.get_step_execution_context()
        self._instance = context.instance
        self._table = table
        self._newest: dict[date, Materialised] = {}

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
            self._newest = newest_materialised(self._instance, self._table, by_day.keys())
        batch, last = generate_event_batch_id(), len(by_day) - 1
        for number, (day, outcome) in enumerate(by_day.items()):
            evaluation = self._evaluation(check, outcome, day.isoformat(), self._newest.get(day))
            yield DagsterEvent.from_step(
                DagsterEventType.ASSET_CHECK_EVALUATION,
                self._step,
                evaluation,
                f"{check} of {self._table} {'passed' if outcome.passed else 'did not pass'} for {day}.",
                DagsterEventBatchMetadata(batch, number == last),
            )
        yield dg.Output(None, output_name=output)
        yield self._evaluation(check, whole, None, max(self._newest.values(), default=None))

    def _evaluation(
        self, check: str, outcome: Outcome, partition: str | None, target: Materialised | None
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
            target_materialization_data=None
            if target is None
            else AssetCheckEvaluationTargetMaterializationData(
                storage_id=target.storage_id, run_id=target.run_id, timestamp=target.timestamp
            ),
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
