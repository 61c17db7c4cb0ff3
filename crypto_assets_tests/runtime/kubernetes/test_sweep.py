"""What is dead in a cluster and what its run reports: a table of states, and the rule that what may work is left alone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.runtime.kubernetes import diagnosis
from crypto_assets.runtime.kubernetes.sweep import Plan, Rules, Run, plan

NOW = datetime(2024, 5, 4, 12, tzinfo=timezone.utc)
IMAGE = "registry.example/crypto-assets:1"
GOES_ON, OVER = Run(None), Run(NOW - timedelta(minutes=30))


def ago(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(name: str, run: str | None, finished: str | None = None, minutes: float = 10, **labels: str) -> dict[str, Any]:
    """``finished``: Complete, Failed, or another reason of failure."""
    found = {**({"dagster/run-id": run} if run else {}), "app.kubernetes.io/component": "run_worker", **labels}
    conditions = []
    if finished:
        kind = "Complete" if finished == "Complete" else "Failed"
        conditions = [{"type": kind, "status": "True", "reason": finished, "lastTransitionTime": ago(minutes)}]
    return {
        "metadata": {"name": name, "labels": found, "creationTimestamp": ago(minutes + 1)},
        "spec": {"activeDeadlineSeconds": 21600},
        "status": {"conditions": conditions},
    }


def pod(
    name: str, of: str | None, state: dict[str, Any] | None = None, minutes: float = 1, **more: Any
) -> dict[str, Any]:
    labels = {"job-name": of, "dagster/run-id": of.removeprefix("job-")} if of else {}
    container = {"name": "dagster", "image": IMAGE, "resources": {"limits": {"memory": "2Gi"}}}
    statuses = [{"name": "dagster", "image": IMAGE, "state": state}] if state else []
    return {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": ago(minutes), **more.pop("metadata", {})},
        "spec": {"containers": [container]},
        "status": {"phase": "Pending", "containerStatuses": statuses, **more},
    }


def waiting(reason: str, message: str = "why") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


RUNNING = {"running": {"startedAt": ago(1)}}
STUCK = [
    (
        waiting("ErrImageNeverPull"),
        "image registry.example/crypto-assets:1 is not on the node and its policy is Never",
        False,
    ),
    (waiting("ImagePullBackOff"), "cannot be pulled (why); correct its name and tag", False),
    (waiting("InvalidImageName"), "cannot be pulled", False),
    (
        waiting("CreateContainerConfigError", 'secret "x" not found'),
        'cannot be made (secret "x" not found); create',
        False,
    ),
    (waiting("CrashLoopBackOff"), "ends as soon as it starts", False),
    (ended(137, "OOMKilled"), "used more memory than its limit of 2Gi", True),
    (ended(137, "Error"), "was killed from outside", True),
]


@pytest.mark.parametrize(("state", "words", "heals"), STUCK)
def test_a_run_whose_pod_can_never_work_fails_with_the_reason_and_its_job_goes(
    state: dict[str, Any], words: str, heals: bool
) -> None:
    over = "terminated" in state
    found = plan([job("job-a", "a", "Failed" if over else None, 0.1)], [pod("p", "job-a", state)], {"a": GOES_ON}, NOW)
    assert words in found.fail["a"].sentence
    assert found.fail["a"].heals is heals
    assert (found.runs, found.jobs, found.stuck) == (["a"], [], 1)


@pytest.mark.parametrize("reason", ["Evicted", "NodeShutdown", "Preempting"])
def test_a_pod_that_the_node_gave_up(reason: str) -> None:
    gone = pod("p", "job-a", RUNNING, phase="Failed", reason=reason, message="low on memory")
    found = plan([job("job-a", "a")], [gone], {"a": GOES_ON}, NOW)
    assert "(low on memory); it may run again elsewhere" in found.fail["a"].sentence
    assert found.fail["a"].heals


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "ErrImagePull"])
def test_what_heals_by_itself_is_given_time(reason: str) -> None:
    for minutes, stuck in ((1, False), (6, True)):
        found = plan([job("job-a", "a")], [pod("p", "job-a", waiting(reason), minutes)], {"a": GOES_ON}, NOW)
        assert bool(found.fail) is stuck
    unschedulable = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
    for minutes, stuck in ((1, False), (6, True)):
        found = plan(
            [job("job-a", "a")], [pod("p", "job-a", None, minutes, conditions=unschedulable)], {"a": GOES_ON}, NOW
        )
        assert bool(found.fail) is stuck
    assert "no node took the pod within 360 s (0/3 nodes)" in found.fail["a"].sentence


def test_a_deadline_is_named() -> None:
    found = plan([job("job-a", "a", "DeadlineExceeded")], [], {"a": GOES_ON}, NOW)
    assert "deadline of 21600 s (active_deadline_seconds)" in found.fail["a"].sentence


def test_a_run_in_good_order_is_left_alone() -> None:
    jobs = [job("job-a", "a"), job("job-b", "b", "Complete", 0.2), job("job-c", "c", "Failed", 30)]
    pods = [pod("p", "job-a", RUNNING, phase="Running")]
    found = plan(jobs, pods, {"a": GOES_ON, "b": GOES_ON, "c": OVER}, NOW)
    assert (found.fail, found.runs, found.jobs, found.pods, found.stuck) == ({}, [], [], [], 0)


def test_an_ordinary_failure_is_kept_an_hour_for_its_log() -> None:
    failed = [pod("p", "job-a", ended(1, "Error"), phase="Failed")]
    for minutes, gone in ((30, []), (61, ["a"])):
        found = plan([job("job-a", "a", "Failed", minutes)], failed, {"a": OVER}, NOW)
        assert (found.runs, found.fail) == (gone, {})


def test_a_job_that_outlives_its_run_goes_and_one_that_ended_without_a_word_fails_its_run() -> None:
    found = plan([job("job-a", "a")], [], {"a": OVER}, NOW)
    assert (found.runs, dict(found.found)) == (["a"], {"LeftBehind": 1})
    found = plan([job("job-a", "a", "Complete", 5)], [], {"a": GOES_ON}, NOW)
    assert "the run did not say how it ended" in found.fail["a"].sentence


def test_a_step_that_waits_for_ever_fails_its_run_and_one_that_failed_is_left_to_it() -> None:
    step = {"app.kubernetes.io/component": "step_worker"}
    jobs = [job("job-a", "a"), job("step", "a", **step)]
    stuck = pod("p", "step", waiting("ImagePullBackOff"))
    assert plan(jobs, [stuck], {"a": GOES_ON}, NOW).runs == ["a"], "all Jobs of the run"
    jobs = [job("job-a", "a"), job("step", "a", "Failed", 0.1, **step)]
    found = plan(jobs, [pod("p", "step", ended(137, "OOMKilled"))], {"a": GOES_ON}, NOW)
    assert (found.fail, found.runs, found.jobs) == ({}, [], [])


def test_a_run_of_another_database_is_never_failed_and_loses_dead_jobs_only() -> None:
    jobs = [job("job-a", "a"), job("job-b", "b"), job("job-c", "c", "Complete", 61), job("migrate", None)]
    pods = [pod("p", "job-a", RUNNING, phase="Running"), pod("q", "job-b", waiting("ErrImageNeverPull"))]
    found = plan(jobs, pods, {}, NOW)
    assert (found.fail, sorted(found.runs), found.jobs) == ({}, ["b", "c"], [])


def test_a_service_that_cannot_start_is_counted_and_left_and_its_evicted_pods_go() -> None:
    owner = {"ownerReferences": [{"kind": "ReplicaSet", "name": "webserver", "uid": "1"}]}
    crashing = pod("web", None, waiting("CrashLoopBackOff"), metadata=owner)
    evicted = pod("old", None, None, phase="Failed", reason="Evicted", metadata=owner)
    found = plan([], [crashing, evicted], {}, NOW)
    assert found.pods == ["old"]
    assert dict(found.found) == {"CrashLoopBackOff": 1, "Evicted": 1}


def test_what_a_deleted_job_left_behind_goes() -> None:
    found = plan([], [pod("p", "job-a", RUNNING, phase="Running")], {"a": OVER}, NOW)
    assert found.pods == ["p"]
    assert plan([], [pod("p", "job-a", RUNNING, phase="Running")], {"a": GOES_ON}, NOW).pods == []


Runs = st.sampled_from([None, GOES_ON, OVER, Run(NOW)])
Ends = st.sampled_from([None, "Complete", "Failed"])
States = st.sampled_from([RUNNING, waiting("ContainerCreating"), ended(1, "Error"), *(state for state, _, _ in STUCK)])


@given(st.lists(st.tuples(Runs, Ends, st.floats(0, 200), States), max_size=8))
def test_what_may_still_work_is_never_touched(
    cases: list[tuple[Run | None, str | None, float, dict[str, Any]]],
) -> None:
    jobs, pods, runs = [], [], {}
    for n, (run, end, minutes, state) in enumerate(cases):
        jobs.append(job(f"job-{n}", str(n), end, minutes))
        pods.append(pod(f"p-{n}", f"job-{n}", state, minutes=0.5))
        if run is not None:
            runs[str(n)] = run
    found: Plan = plan(jobs, pods, runs, NOW, Rules())
    touched = {*found.runs, *(name.removeprefix("job-") for name in found.jobs)}
    for n, (run, end, _, state) in enumerate(cases):
        healthy = state is RUNNING or "ContainerCreating" in str(state)
        if healthy and end is None and (run is None or run.ended is None or run.ended == NOW):
            assert str(n) not in touched
        if end is None and run == GOES_ON and diagnosis.of_pod(pods[n], NOW, 300) is None:
            assert str(n) not in found.fail
    assert set(found.fail) <= {run_id for run_id, run in runs.items() if run.ended is None}
