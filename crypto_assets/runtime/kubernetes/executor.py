"""Decide where the steps of a run pod run: in its own process, or each in its own pod where this pays off.

A step pod costs some seconds to start, and its own memory for what it reads. So it pays off for long steps, or steps
that need more memory than the run's pod. A run's tag ``crypto_assets/steps`` decides (``pods`` or ``process``). Without
it, a run of several steps gives each its own pod as soon as one of them covers enough days.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster_k8s import k8s_job_executor

from crypto_assets.dagster_internals.core import days_of_run
from crypto_assets.dagster_internals.kubernetes import replace_creation
from crypto_assets.runtime.kubernetes.creation import until_served
from crypto_assets.tables.registry import own_pods

STEPS_TAG = "crypto_assets/steps"
STEP_PATIENCE_S = 600.0  # of a step's launch while the API is away; the steps before it would be done again
EARNS_FROM_DAYS = own_pods()  # step -> days of a run from which it earns a pod of its own


@dg.executor(
    name="pods_where_earned",
    config_schema=k8s_job_executor.config_schema.as_field(),
    requirements=dg.multiple_process_executor_requirements(),
)
def pods_where_earned(context: dg.InitExecutorContext) -> dg.Executor:
    """The executor of a code location that runs in a cluster."""
    return _Choice(context)


class _Choice(dg.Executor):
    def __init__(self, context: dg.InitExecutorContext) -> None:
        self._context = context
        self._in_process = _made(dg.in_process_executor, context)

    @property
    def retries(self) -> Any:
        return self._in_process.retries  # as the configuration says, which both executors read alike

    def execute(self, plan_context: Any, execution_plan: Any) -> Any:
        """Yield the events of the run."""
        pods = in_pods(plan_context.dagster_run.tags, execution_plan.step_keys_to_execute)
        chosen = _in_pods(self._context) if pods else self._in_process
        yield from chosen.execute(plan_context, execution_plan)


def _in_pods(context: dg.InitExecutorContext) -> dg.Executor:
    """The stock executor with a pod a step; its client waits for an API that is away."""
    made = _made(k8s_job_executor, context)
    replace_creation(made, _patient)
    return made


def _patient(stock: Callable[..., None]) -> Callable[..., None]:
    def create(**job: Any) -> None:
        until_served(lambda: stock(**job), STEP_PATIENCE_S)

    return create


def _made(stock: dg.ExecutorDefinition, context: dg.InitExecutorContext) -> dg.Executor:
    make = stock.executor_creation_fn
    assert make is not None  # None only for a definition without a function
    return make(context)


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
    count = days_of_run(tags)
    return any(count >= EARNS_FROM_DAYS[step] for step in steps if step in EARNS_FROM_DAYS)
