"""Decide where the steps of a run pod run: in its own process, or each in its own pod where this pays off.

A step pod costs some seconds to start, and its own memory for what it reads. So it pays off for long steps, or steps
that need more memory than the run's pod. A run's tag ``crypto_assets/steps`` decides (``pods`` or ``process``). Without
it, a run of several steps gives each its own pod as soon as one of them covers enough days.
"""

from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster_k8s.executor import _K8S_EXECUTOR_CONFIG_SCHEMA, k8s_job_executor

from crypto_assets.tables.registry import own_pods

STEPS_TAG = "crypto_assets/steps"
EARNS_FROM_DAYS = own_pods()  # step -> days of a run from which it earns a pod of its own


@dg.executor(
    name="pods_where_earned",
    config_schema=_K8S_EXECUTOR_CONFIG_SCHEMA,
    requirements=multiple_process_executor_requirements(),
)
def pods_where_earned(context: dg.InitExecutorContext) -> Executor:
    """The executor of a code location that runs in a cluster."""
    return _Choice(context)


class _Choice(Executor):
    def __init__(self, context: dg.InitExecutorContext) -> None:
        self._context = context
        configured: Any = context.executor_config["retries"]
        self._retries = RetryMode.from_config(configured) or RetryMode.ENABLED

    @property
    def retries(self) -> RetryMode:
        return self._retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Any:
        """Yield the events of the run."""
        chosen: Executor
        if in_pods(plan_context.dagster_run.tags, execution_plan.step_keys_to_execute):
            made = k8s_job_executor.executor_creation_fn
            assert made is not None
            chosen = made(self._context)
        else:
            chosen = InProcessExecutor(retries=self._retries)
        yield from chosen.execute(plan_context, execution_plan)


def in_pods(tags: Any, steps: Any) -> bool:
    """Whether each step of this run gets its own pod.

    Args:
        tags: the run's tags.
        steps: the names of its steps.

    Returns:
        True for pods.

    Raises:
        dagster.DagsterInvariantViolationError: the tag has another word than ``pods`` or ``process``.
    """
    wanted = tags.get(STEPS_TAG)
    if wanted not in (None, "pods", "process"):
        raise dg.DagsterInvariantViolationError(f"tag {STEPS_TAG} is {wanted!r}; write pods or process")
    if wanted is not None:
        return bool(wanted == "pods")
    if len(steps) < 2:  # the run's pod already belongs to the one step
        return False
    count = _days(tags)
    return any(count >= EARNS_FROM_DAYS[step] for step in steps if step in EARNS_FROM_DAYS)


def _days(tags: Any) -> int:
    start, end = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
    return (date.fromisoformat(end) - date.fromisoformat(start)).days + 1 if start and end else 1
