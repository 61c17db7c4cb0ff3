"""An executor in one process whose steps wait for providers side by side (internals seen in dagster 1.13.27).

Dagster's executor in one process runs one step after the other, and one with a process for each step imports everything for
each step. Here the steps that ask providers run in threads, while the main thread runs the steps that compute, one after
the other. What a step does, its events and its retries are Dagster's own. Hooks are not called: no job of ours has any.
"""

from __future__ import annotations

import contextvars
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import dagster as dg

# What the loops of the stock executors over the steps of a plan are made of: neither loop can be extended.
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events import EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.compute_logs import create_compute_log_file_key
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.execute_plan import (
    _handle_compute_log_setup_error,
    _handle_compute_log_teardown_error,
    dagster_event_sequence_for_step,
)
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.storage.tags import PRIORITY_TAG

__all__ = ["ASKS_TAG", "side_by_side"]

ASKS_TAG = "crypto_assets/asks"  # tag of a step that asks a provider: its pool
# A run holds one place of a pool at a time, as it does with one step after the other: the others are for ticks and refills.
ONE_OF_A_POOL = {"key": ASKS_TAG, "limit": 1, "value": {"applyLimitPerUniqueValue": True}}
STOPS_WITHIN_S = 10.0  # a step that waits for a provider ends at once, one that writes its table does so first
STOP_AGAIN_S = 0.1

Events = Iterator[dg.DagsterEvent]


def side_by_side(stop_waiting: Callable[[], None], at_once: Callable[[dg.DagsterRun], int]) -> dg.ExecutorDefinition:
    """Build the executor.

    Args:
        stop_waiting: makes all waiting for providers end; called when the run is interrupted, and more than once.
        at_once: how many steps of a run ask at the same time. What all of them were given is in memory together.

    Returns:
        The executor, for :func:`~crypto_assets.dagster_internals.core.keep_subsets`.
    """

    @dg.executor(name="side_by_side")
    def executor(_: dg.InitExecutorContext) -> _SideBySide:
        return _SideBySide(stop_waiting, at_once)

    return executor


class _SideBySide(InProcessExecutor):
    def __init__(self, stop_waiting: Callable[[], None], at_once: Callable[[dg.DagsterRun], int]) -> None:
        super().__init__(retries=RetryMode.ENABLED)
        self._stop_waiting, self._at_once = stop_waiting, at_once

    def execute(self, plan_context: Any, execution_plan: Any) -> Events:
        """Run the plan (Dagster's interface)."""
        yield dg.DagsterEvent.engine_event(
            plan_context,
            f"Executing steps in process (pid: {os.getpid()}), those that ask providers in threads",
            event_specific_data=EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute),
        )
        yield from ExecuteRunWithPlanIterable(
            execution_plan=plan_context.execution_plan,
            iterator=self._iterate,
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=plan_context.execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                # The tables have the frames. The result of a run would keep them beside its own cycles of references, and
                # the garbage collector comes by once in dozens of runs.
                output_capture=None,
                step_dependency_config=self.step_dependency_config,
            ),
        )

    def _iterate(self, job_context: Any, execution_plan: Any) -> Events:
        logs, steps = job_context.instance.compute_log_manager, execution_plan.get_steps_to_execute_in_topo_order()
        log_key = logs.build_log_key_for_run(job_context.run_id, create_compute_log_file_key())
        run, instance = job_context.dagster_run, job_context.instance
        limits = [{"key": ASKS_TAG, "limit": self._at_once(run)}, ONE_OF_A_POOL]
        with InstanceConcurrencyContext(instance, run) as slots, ExitStack() as capture:
            try:
                captured = capture.enter_context(logs.capture_logs(log_key))
                yield dg.DagsterEvent.capture_logs(job_context, [step.key for step in steps], log_key, captured)
            except Exception:
                yield from _handle_compute_log_setup_error(job_context, sys.exc_info())
            with ActiveExecution(
                execution_plan,
                retry_mode=job_context.retry_mode,
                tag_concurrency_limits=limits,
                instance_concurrency_context=slots,
                step_dependency_config=job_context.step_dependency_config,
            ) as active:
                lanes = _Lanes(job_context, active)
                try:
                    yield from lanes.run()
                except BaseException:
                    lanes.stop(self._stop_waiting)
                    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)  # of steps that were stopped
                    raise
            try:
                capture.close()
            except Exception:
                yield from _handle_compute_log_teardown_error(job_context, sys.exc_info())


class _Lanes:
    """The steps of one run: those that wait in threads, the others in the caller's."""

    def __init__(self, job_context: Any, active: ActiveExecution) -> None:
        self._context, self._active = job_context, active
        self._threads: dict[str, threading.Thread] = {}
        self._under_way: dict[str, Any] = {}  # the steps of the threads
        self._heard: queue.SimpleQueue[tuple[str, dg.DagsterEvent | BaseException | None]] = queue.SimpleQueue()

    def run(self) -> Events:
        """Run every step of the plan, and yield its events."""
        ready: list[Any] = []  # steps that could begin, and hold their places in pools
        while not self._active.is_complete:
            ready += self._active.get_steps_to_execute()
            yield from self._active.concurrency_event_iterator(self._context)
            chosen = self._chosen(ready)
            for step in chosen:
                ready.remove(step)
                if ASKS_TAG in step.tags:
                    self._begin(step)
            if computing := [step for step in chosen if ASKS_TAG not in step.tags]:
                yield from self._compute(computing[0])
                yield from self._events(wait=False)
            elif self._threads:
                yield from self._events(wait=True)
            else:
                self._active.sleep_til_ready()
            yield from self._active.plan_events_iterator(self._context)
        for thread in self._threads.values():
            thread.join()

    def _chosen(self, ready: list[Any]) -> list[Any]:
        """Choose the steps that begin now: those that ask providers, and at most one that computes.

        A step with a negative priority waits for all others that are under way or ready: it needs what they do, without
        depending on their success.
        """
        priorities = [_priority(step) for step in (*ready, *self._under_way.values())]
        lowest = min(0, max(priorities, default=0))
        may_begin = [step for step in sorted(ready, key=_priority, reverse=True) if _priority(step) >= lowest]
        asking = [step for step in may_begin if ASKS_TAG in step.tags]
        return asking + [step for step in may_begin if ASKS_TAG not in step.tags][:1]

    def _compute(self, step: Any) -> Events:
        for event in dagster_event_sequence_for_step(self._of(step)):
            yield event
            self._active.handle_event(event)
        self._active.verify_complete(self._context, step.key)

    def stop(self, stop_waiting: Callable[[], None]) -> None:
        """End the threads. One that takes too long is left behind, and ends with the process."""
        until = time.monotonic() + STOPS_WITHIN_S
        while any(thread.is_alive() for thread in self._threads.values()) and time.monotonic() < until:
            stop_waiting()  # again: a step may ask several times
            for thread in self._threads.values():
                thread.join(STOP_AGAIN_S)

    def _of(self, step: Any) -> Any:
        return self._context.for_step(step, self._active.get_known_state())

    def _begin(self, step: Any) -> None:
        """Run a step in a thread, with the context variables of this one."""
        work = partial(contextvars.copy_context().run, self._work, step.key, self._of(step))
        self._under_way[step.key] = step
        self._threads[step.key] = threading.Thread(target=work, name=step.key, daemon=True)
        self._threads[step.key].start()

    def _work(self, key: str, context: Any) -> None:
        try:
            for event in dagster_event_sequence_for_step(context):
                self._heard.put((key, event))
        except BaseException as error:  # raised again in the main thread
            self._heard.put((key, error))
        finally:
            self._heard.put((key, None))

    def _events(self, *, wait: bool) -> Events:
        """Yield what the threads reported; with ``wait`` until the next of them ends, or a claim is due again."""
        while self._threads:
            try:
                with raise_execution_interrupts():
                    key, heard = self._heard.get(wait, self._active.sleep_interval() or None)
            except queue.Empty:
                return
            if heard is None:
                self._threads.pop(key).join()
                del self._under_way[key]
                self._active.verify_complete(self._context, key)
                return
            if isinstance(heard, BaseException):
                raise heard
            yield heard
            self._active.handle_event(heard)


def _priority(step: Any) -> int:
    return int(step.tags.get(PRIORITY_TAG, 0))
