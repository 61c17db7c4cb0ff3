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
        "status": {"conditions": conditions, **({} if finished else {"active": 1})},
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


def on_node(found: dict[str, Any]) -> dict[str, Any]:
    found["spec"]["nodeName"] = "node-7"
    return found


def leaves(minutes: float) -> dict[str, Any]:
    """Metadata of an object whose deletion should be over since so many minutes."""
    return {"deletionTimestamp": ago(minutes), "deletionGracePeriodSeconds": 60}


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


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        (
            "OutOfmemory",
            "Node didn't have enough resource: memory",
            "node node-7 had too little memory left for the pod",
        ),
        ("OutOfcpu", "Node didn't have enough resource: cpu", "node node-7 had too little cpu left for the pod"),
        ("UnexpectedAdmissionError", "Allocate failed", "node node-7 refused the pod (UnexpectedAdmissionError)"),
        ("NodeAffinity", "Predicate NodeAffinity failed", "node node-7 refused the pod (NodeAffinity)"),
    ],
)
def test_a_pod_that_the_kubelet_refused_has_no_container_and_says_why(reason: str, message: str, words: str) -> None:
    refused = on_node(pod("p", "job-a", None, phase="Failed", reason=reason, message=message))
    found = plan([job("job-a", "a", "Failed", 0.1)], [refused], {"a": GOES_ON}, NOW)
    assert (found.fail["a"].reason, found.fail["a"].heals) == (reason, True)
    assert f"{words} ({message}); it may run again elsewhere" in found.fail["a"].sentence


DISRUPTIONS = [
    ("EvictionByEvictionAPI", "Eviction API: evicting", "node node-7 was drained"),
    ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", "node node-7 was lost or tainted"),
    ("DeletionByPodGC", "PodGC: node no longer exists", "node node-7 is gone, and the pod with it"),
    ("PreemptionByScheduler", "default-scheduler: preempting", "a pod of higher priority took the place"),
    ("TerminationByKubelet", "Pod was terminated in response to imminent node shutdown.", "node node-7 was shut down"),
]


@pytest.mark.parametrize(("reason", "message", "words"), DISRUPTIONS)
def test_a_disruption_is_the_reason_and_not_the_signal_that_ended_the_process(
    reason: str, message: str, words: str
) -> None:
    said = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]}
    killed = on_node(pod("p", "job-a", ended(137, "Error"), phase="Failed", **said))
    found = plan([job("job-a", "a", "Failed", 0.1)], [killed], {"a": GOES_ON}, NOW)
    assert (found.fail["a"].reason, found.fail["a"].heals) == (reason, True)
    assert words in found.fail["a"].sentence
    assert f"({message})" in found.fail["a"].sentence


def test_a_pod_that_is_being_deleted_has_its_grace() -> None:
    """Then a node that has not confirmed its end is not waited for."""
    for minutes, failed in ((-0.5, False), (0.5, True)):
        leaving = on_node(pod("p", "job-a", RUNNING, phase="Running", metadata=leaves(minutes)))
        found = plan([job("job-a", "a")], [leaving], {"a": GOES_ON}, NOW)
        assert bool(found.fail) is failed
        assert list(found.ending) == ["p"]
    assert "the pod was deleted at 11:59:30 UTC, by a person or a controller" in found.fail["a"].sentence


def test_a_job_that_is_being_deleted_under_its_run_fails_it_once_its_pods_are_over() -> None:
    leaving = job("job-a", "a")
    leaving["metadata"] |= leaves(5)
    works = plan([leaving], [pod("p", "job-a", RUNNING, phase="Running")], {"a": GOES_ON}, NOW)
    assert (works.fail, works.stuck) == ({}, 0)
    found = plan([leaving], [], {"a": GOES_ON}, NOW)
    assert "the Job was deleted at 11:55:00 UTC" in found.fail["a"].sentence
    assert (found.runs, found.jobs) == ([], []), "it is not deleted again"
    assert plan([leaving], [], {"a": OVER}, NOW).stuck == 0


def test_a_job_whose_failure_waits_for_its_pods_is_failed_once_they_are_over() -> None:
    failing = job("job-a", "a")
    said = {"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": ago(0.1)}
    failing["status"] = {"conditions": [said], "terminating": 1}
    leaving = pod("p", "job-a", RUNNING, phase="Running", metadata=leaves(-0.5))
    assert plan([failing], [leaving], {"a": GOES_ON}, NOW).fail == {}
    leaving["metadata"] |= leaves(0.5)
    found = plan([failing], [leaving], {"a": GOES_ON}, NOW)
    assert "deadline of 21600 s" in found.fail["a"].sentence


def test_who_is_late_with_a_pod_is_named() -> None:
    scheduled = {"conditions": [{"type": "PodScheduled", "status": "True"}]}
    silent = on_node(pod("p", "job-a", None, 6, **scheduled))
    found = plan([job("job-a", "a")], [silent], {"a": GOES_ON}, NOW)
    assert found.fail["a"].reason == "KubeletSilent"
    assert "the kubelet of node node-7 has not taken the pod up within 360 s" in found.fail["a"].sentence
    gated = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "gate x"}]
    }
    found = plan([job("job-a", "a")], [pod("p", "job-a", None, 6, **gated)], {"a": GOES_ON}, NOW)
    assert "no node took the pod within 360 s (gate x)" in found.fail["a"].sentence


def test_a_node_that_does_not_report_is_warned_of_and_fails_no_run() -> None:
    """Its processes may work; if the node stays away, the cluster deletes its pods."""
    runs = {"name": "dagster", "image": IMAGE, "ready": True, "state": RUNNING}
    for minutes, stuck in ((1, 0), (6, 1)):
        away = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": ago(minutes)}
        quiet = on_node(pod("p", "job-a", None, 60, phase="Running", conditions=[away]))
        quiet["status"]["containerStatuses"] = [runs]
        found = plan([job("job-a", "a")], [quiet], {"a": GOES_ON}, NOW)
        assert (found.fail, found.runs, found.jobs, found.stuck) == ({}, [], [], stuck)
    assert "node node-7 has not reported about the pod since 11:54:00 UTC" in found.examples["NodeSilent"]


def test_a_pod_that_is_refused_for_a_moment_is_given_time() -> None:
    waits = job("job-a", "a", minutes=0)
    waits["metadata"]["uid"], waits["status"] = "u", {}
    event = {"involvedObject": {"uid": "u"}, "reason": "FailedCreate", "lastTimestamp": ago(0)}
    event["message"] = "Error creating: Internal error occurred: failed calling webhook: context deadline exceeded"
    assert plan([waits], [], {"a": GOES_ON}, NOW, events=[event]).fail == {}
    waits["metadata"]["creationTimestamp"] = ago(6)
    found = plan([waits], [], {"a": GOES_ON}, NOW, events=[event])
    assert "no pod could be created within 360 s: Error creating: Internal error" in found.fail["a"].sentence
    waits["metadata"]["creationTimestamp"] = ago(0)
    denied = {**event, "message": 'Error creating: admission webhook "policy" denied the request: no'}
    assert (
        "change what the admission webhook refuses"
        in plan([waits], [], {"a": GOES_ON}, NOW, events=[denied]).fail["a"].sentence
    ), "at once"
    waits["metadata"]["creationTimestamp"] = ago(6)
    assert plan([waits], [], {"a": GOES_ON}, NOW, events=[{**event, "involvedObject": {"uid": "v"}}]).fail[
        "a"
    ].reason == ("NoPod"), "an event about another Job says nothing"


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


def test_what_this_database_does_not_know_is_another_installations() -> None:
    jobs = [job("job-a", "a"), job("job-b", "b"), job("job-c", "c", "Complete", 61), job("migrate", None)]
    pods = [
        pod("p", "job-a", RUNNING, phase="Running"),
        pod("q", "job-b", waiting("ErrImageNeverPull")),
        pod("left", "job-d", ended(1, "Error"), phase="Failed"),
    ]
    found = plan(jobs, pods, {}, NOW)
    assert (found.fail, found.runs, found.jobs, found.pods) == ({}, [], [], [])
    assert (found.stuck, found.seen["other"]) == (0, 6), "all but the migration, which has no run"


def test_a_label_of_another_installation_protects_a_run_that_both_know() -> None:
    """A copy of a database knows the same runs."""
    theirs = {"crypto-assets/installation": "other"}
    jobs = [job("job-a", "a", **theirs), job("job-b", "b", **{"crypto-assets/installation": "own"}), job("job-c", "c")]
    pods = [pod(f"p-{run}", f"job-{run}", waiting("ErrImageNeverPull")) for run in "abc"]
    pods[0]["metadata"]["labels"] |= theirs
    runs = dict.fromkeys("abc", GOES_ON)
    found = plan(jobs, pods, runs, NOW, installation="own")
    assert (sorted(found.fail), sorted(found.runs), found.seen["other"]) == (["b", "c"], ["b", "c"], 2)
    assert sorted(plan(jobs, pods, runs, NOW).fail) == ["a", "b", "c"], "without an id the runs alone tell"


def test_a_job_of_the_manifests_is_counted_and_never_deleted() -> None:
    found = plan([job("migrate", None, "Failed", 200)], [], {}, NOW)
    assert (found.jobs, found.runs, found.stuck) == ([], [], 0)
    stuck = pod("p", "migrate", waiting("ImagePullBackOff"), metadata={"labels": {"job-name": "migrate"}})
    found = plan([job("migrate", None)], [stuck], {}, NOW)
    assert (found.jobs, found.pods, dict(found.found)) == ([], [], {"ImagePullBackOff": 1})


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
