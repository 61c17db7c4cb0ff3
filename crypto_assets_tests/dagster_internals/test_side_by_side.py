"""Steps that ask providers run beside the others, in one process, with the events of Dagster's own executor."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from crypto_assets.dagster_internals.core import keep_subsets
from crypto_assets.dagster_internals.side_by_side import ASKS_TAG, side_by_side

LONG_S = 60.0  # a wait that only a fault lasts
Work = Callable[[], Any]


class Frame:
    pass


class Table(dg.IOManager):
    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        pass

    def load_input(self, context: dg.InputContext) -> Frame:
        return Frame()


def asking(name: str, pool: str, work: Work, *, priority: int = 0, retries: int = 0) -> dg.AssetsDefinition:
    tags = {ASKS_TAG: pool, "dagster/priority": str(priority)}
    return _asset(name, work, tags, pool=pool, retry_policy=dg.RetryPolicy(max_retries=retries) if retries else None)


def computing(name: str, work: Work, *deps: str, priority: int = 0) -> dg.AssetsDefinition:
    return _asset(name, work, {"dagster/priority": str(priority)}, deps=deps)


def _asset(name: str, work: Work, tags: dict[str, str], **more: Any) -> dg.AssetsDefinition:
    @dg.asset(name=name, op_tags=tags, **more)
    def made() -> None:
        work()

    return made


def run(*assets: dg.AssetsDefinition, at_once: int = 4) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return run_on(instance, *assets, at_once=at_once)


def run_on(
    instance: dg.DagsterInstance,
    *assets: dg.AssetsDefinition,
    stop: Callable[[], None] = lambda: None,
    at_once: int = 4,
) -> dg.ExecuteInProcessResult:
    defs = dg.Definitions(assets=list(assets), executor=dg.in_process_executor)
    job = keep_subsets(defs.resolve_implicit_global_asset_job_def(), side_by_side(stop, lambda _: at_once))
    return job.execute_in_process(
        instance=instance, asset_selection=[asset.key for asset in assets], raise_on_error=False
    )


def ended(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    kinds = ("STEP_SUCCESS", "STEP_FAILURE")
    return {str(e.step_key): e.event_type_value for e in result.all_events if e.event_type_value in kinds}


def test_no_more_providers_are_asked_at_the_same_time_than_is_said() -> None:
    under_way, most = [0], [0]
    counting = threading.Lock()

    def work() -> None:
        with counting:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.05)  # long enough for another one to come
        with counting:
            under_way[0] -= 1

    result = run(*(asking(name, name, work) for name in ("one", "two", "three")), at_once=1)
    assert result.success and most == [1]


def test_two_providers_are_asked_at_the_same_time_and_beside_a_step_that_computes() -> None:
    meet = threading.Barrier(3)
    together = [asking(name, name, lambda: meet.wait(LONG_S)) for name in ("one", "two")]
    where: list[bool] = []

    def compute() -> None:
        where.append(threading.current_thread() is threading.main_thread())
        meet.wait(LONG_S)

    result = run(*together, computing("three", compute))
    assert result.success
    assert where == [True], "what computes stays in the thread that receives Ctrl-C"


def test_a_run_asks_one_provider_by_one_step_at_a_time() -> None:
    busy, most = [0], [0]

    def ask() -> None:
        busy[0] += 1
        most[0] = max(most[0], busy[0])
        threading.Event().wait(0.05)
        busy[0] -= 1

    result = run(*(asking(f"step_{number}", "one", ask) for number in range(4)))
    assert set(ended(result).values()) == {"STEP_SUCCESS"}
    assert most == [1]


def test_a_negative_priority_waits_for_what_is_under_way_and_needs_no_success_of_it() -> None:
    order: list[str] = []

    def fail() -> None:
        threading.Event().wait(0.2)
        order.append("bars")
        raise ValueError("away")

    result = run(
        asking("prices", "one", lambda: order.append("prices"), priority=-10),
        computing("usage", lambda: order.append("usage"), priority=-100),
        asking("bars", "two", fail, priority=10),
    )
    assert order == ["bars", "prices", "usage"]
    assert ended(result) == {"bars": "STEP_FAILURE", "prices": "STEP_SUCCESS", "usage": "STEP_SUCCESS"}


def test_a_failure_in_a_thread_fails_its_step_and_what_rests_on_it() -> None:
    def fail() -> None:
        raise dg.Failure("no answer")

    done: list[str] = []
    result = run(
        asking("bad", "one", fail),
        asking("good", "two", lambda: done.append("good")),
        computing("of_bad", lambda: done.append("of_bad"), "bad"),
        computing("of_good", lambda: done.append("of_good"), "good"),
    )
    assert not result.success
    assert done == ["good", "of_good"]
    assert ended(result) == {"bad": "STEP_FAILURE", "good": "STEP_SUCCESS", "of_good": "STEP_SUCCESS"}
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data is not None
    assert failure.step_failure_data.user_failure_data.description == "no answer"


def test_a_step_in_a_thread_is_retried_as_its_policy_says() -> None:
    tried: list[int] = []

    def ask() -> None:
        tried.append(1)
        if len(tried) < 3:
            raise ValueError("not yet")

    assert run(asking("one", "one", ask, retries=2)).success
    assert len(tried) == 3


def test_what_steps_made_does_not_outlive_the_run_even_where_its_result_is_kept() -> None:
    """A backfill makes dozens of runs, and a frame of features has a gigabyte."""

    made: list[weakref.ref[Frame]] = []

    @dg.asset
    def wide() -> Frame:
        frame = Frame()
        made.append(weakref.ref(frame))
        return frame

    defs = dg.Definitions(assets=[wide], resources={"io_manager": Table()}, executor=dg.in_process_executor)
    job = keep_subsets(defs.resolve_implicit_global_asset_job_def(), side_by_side(lambda: None, lambda _: 1))
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, asset_selection=[wide.key])
    gc.collect()  # what refers to itself goes now; what the result holds stays
    assert result.success and len(made) == 1
    assert made[0]() is None


@pytest.mark.parametrize("computes", [True, False])
def test_an_interrupt_ends_the_waiting_and_the_run_and_leaves_the_pools(computes: bool, tmp_path: Path) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def ask() -> None:
        begun.set()
        assert stopped.wait(LONG_S)
        raise ValueError("stopped")

    def interrupt() -> None:
        assert begun.wait(LONG_S)
        os.kill(os.getpid(), signal.SIGINT)

    def compute() -> None:
        interrupt()
        threading.Event().wait(LONG_S)

    other = computing("other", compute) if computes else asking("other", "two", interrupt)
    assets = (asking("waits", "one", ask), other, computing("later", lambda: None, "waits"))
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"telemetry": {"enabled": False}}) as instance:
        for pool in ("one", "two"):
            instance.event_log_storage.set_concurrency_slots(pool, 1)
        result = run_on(instance, *assets, stop=stopped.set)
        claimed = [instance.event_log_storage.get_concurrency_info(pool).claimed_slots for pool in ("one", "two")]
    assert claimed == [[], []]
    assert not result.success
    assert stopped.is_set()
    [failure] = [event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE"]
    assert "interrupted" in str(failure.message)
    assert "later" not in ended(result)
