"""The janitor against an API server that enforces its rights: what is dead goes in a few calls, nothing else does."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster_postgres import PostgresRunStorage

from crypto_assets.errors import InstanceError
from crypto_assets.operate import doctor_deployment
from crypto_assets.runtime.kubernetes import api, janitor
from crypto_assets.runtime.kubernetes.api import Cluster as Api
from crypto_assets.runtime.kubernetes.installation import installation_id
from crypto_assets.runtime.kubernetes.sweep import INSTALLATION_LABEL, Rules
from crypto_assets.settings import KUBE_SELECTOR, Settings
from crypto_assets_tests.runtime.kubernetes.conftest import JobMaker
from crypto_assets_tests.runtime.kubernetes.double import Cluster
from crypto_assets_tests.runtime.kubernetes.node import stamp
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.production import BASE, NAMESPACE

SOON = Rules(start=timedelta(seconds=1), settle=timedelta(0))


def sweep(instance: DagsterInstance, *, dry_run: bool = False, rules: Rules | None = None) -> janitor.Sweep:
    return janitor.sweep(instance, Api(NAMESPACE, KUBE_SELECTOR), dry_run=dry_run, rules=rules)


def started(instance: DagsterInstance, status: DagsterRunStatus = DagsterRunStatus.STARTING) -> DagsterRun:
    """A run that waits for its pod."""
    run = DagsterRun(job_name="j", run_id=str(uuid.uuid4()), status=status)
    instance.run_storage.add_run(run)
    return run


def add_finished_runs(instance: DagsterInstance, count: int) -> None:
    """Runs ``run-0`` and on, in one statement: one at a time takes a minute."""
    storage = instance.run_storage
    assert isinstance(storage, PostgresRunStorage)
    storage.add_run(DagsterRun(job_name="j", run_id="run-0", status=DagsterRunStatus.FAILURE))
    same = "pipeline_name, status, create_timestamp, update_timestamp"
    body = "replace(run_body, '\"run-0\"', '\"run-' || n || '\"')"
    with storage.connect() as connection:
        connection.execute(
            sqlalchemy.text(
                f"INSERT INTO runs (run_id, run_body, {same}) "
                f"SELECT 'run-' || n, {body}, {same} FROM runs, generate_series(1, :last) AS n"
            ),
            {"last": count - 1},
        )


def failure(instance: DagsterInstance, run: DagsterRun) -> str:
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id)]
    return "\n".join(str(e.message) for e in events if e is not None and e.event_type_value == "PIPELINE_FAILURE")


def test_runs_that_can_never_start_fail_with_the_reason_and_leave_nothing(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance
) -> None:
    cases = {
        "never": ({"image": "built-here:1", "imagePullPolicy": "Never"}, "image built-here:1 is not on the node"),
        "absent": ({"image": "registry.example/no:1"}, "image registry.example/no:1 cannot be pulled"),
        "secret": ({"envFrom": [{"secretRef": {"name": "gone"}}]}, 'secret "gone" not found'),
        "key": (
            {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "there", "key": "k"}}}]},
            "couldn't find key k in Secret crypto/there",
        ),
    }
    cluster.node.secrets["there"] = {"other": "value"}
    runs = {name: started(instance) for name in cases}
    healthy = started(instance)
    for name, (container, _) in cases.items():
        submit(f"job-{name}", runs[name].run_id, container=container)
    submit("healthy", healthy.run_id)
    wait_for(lambda: str(cluster.pods()).count("'waiting'") == 4 and "ImagePullBackOff" in str(cluster.pods()))
    wait_for(lambda: cluster.node.running())

    before = sweep(instance, dry_run=True)
    assert (before.plan.stuck, before.failed, len(cluster.jobs())) == (4, 4, 5), "a dry run touches nothing"
    assert not any(run.is_finished for run in instance.get_runs())

    done = sweep(instance)
    assert (done.plan.stuck, done.failed, done.left) == (4, 4, 0)
    for name, (_, words) in cases.items():
        assert words in failure(instance, runs[name])
        found = instance.get_run_by_id(runs[name].run_id)
        assert found is not None
        assert (found.status, found.tags["dagster/max_retries"]) == (DagsterRunStatus.FAILURE, "0")
    assert [job["metadata"]["name"] for job in cluster.jobs()] == ["healthy"]
    wait_for(lambda: len(cluster.pods()) == 1)
    after = sweep(instance)
    assert (after.plan.stuck, after.plan.seen["active"]) == (0, 1)
    assert not cluster.rights.refused


def test_what_befell_a_pod_is_said_and_may_be_tried_again(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance
) -> None:
    befall = {"oom": cluster.node.out_of_memory, "evicted": cluster.node.evict, "killed": cluster.node.kill}
    runs = {name: started(instance) for name in (*befall, "late")}
    for name in befall:
        submit(name, runs[name].run_id)
    wait_for(lambda: len(cluster.node.running()) == 3)
    cluster.node.hang_next = 1
    submit("late", runs["late"].run_id)
    for pod in cluster.node.running():
        befall[pod.rsplit("-", 1)[0]](pod)
    wait_for(lambda: sum(job.get("status", {}).get("failed", 0) for job in cluster.jobs()) == 3)
    wait_for(lambda: "StartHangs" in sweep(instance, dry_run=True, rules=SOON).plan.found)
    sweep(instance, rules=SOON)
    assert "used more memory than its limit" in failure(instance, runs["oom"])
    assert "low on resource: memory" in failure(instance, runs["evicted"])
    assert "killed from outside" in failure(instance, runs["killed"])
    assert " s (ContainerCreating); look at the volumes" in failure(instance, runs["late"])
    assert all("dagster/max_retries" not in run.tags for run in instance.get_runs())
    wait_for(lambda: (cluster.jobs(), cluster.pods()) == ([], []))


def test_a_thousand_dead_jobs_among_a_thousand_of_others(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance
) -> None:
    """Ours are found by label and go in bounded calls; the others, as dead, stay."""
    over = {"startTime": stamp(), "failed": 1, "active": 0, "frozen": True}
    over["conditions"] = [
        {"type": "Failed", "status": "True", "reason": "Old", "lastTransitionTime": "2024-01-01T00:00:00Z"}
    ]
    with cluster.store.lock:
        for n in range(1000):
            for ours in (True, False):
                submit(f"{'ours' if ours else 'other'}-{n}", f"run-{n}", ours=ours)["status"] = dict(over)
    add_finished_runs(instance, 1000)
    cluster.calls.clear()
    done = sweep(instance)
    assert (done.plan.stuck, done.deleted, done.left) == (1000, 1000, 0)
    left = [job["metadata"]["name"] for job in cluster.jobs()]
    assert len(left) == 1000
    assert all(name.startswith("other-") for name in left)
    assert sum(cluster.calls.values()) <= 4 + 1 + 2 * 25, cluster.calls
    assert sweep(instance).plan.stuck == 0


@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        ("token", "does not accept the token (expired or of another cluster); renew"),
        ("verb", 'cannot list resource "jobs" in API group "batch" in the namespace "crypto"; grant it by the Role'),
        ("namespace", 'in the namespace "elsewhere"; grant it by the Role'),
        ("server", "the API server cannot be reached ([Errno 111] Connection refused)"),
        ("kubeconfig", "there is no way to the Kubernetes API of namespace crypto"),
    ],
)
def test_what_is_wrong_with_the_cluster_is_one_sentence(
    cluster: Cluster,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    breakage: str,
    words: str,
) -> None:
    if breakage == "token":
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig("crypto-assets-code", token="expired")))
    elif breakage == "verb":
        cluster.rights.granted["crypto-assets-code"].discard(("list", "jobs"))
    elif breakage == "namespace":
        monkeypatch.setenv("CRYPTO_ASSETS_KUBE_NAMESPACE", "elsewhere")
    elif breakage == "server":
        path = tmp_path / "config"
        path.write_text(
            Path(cluster.kubeconfig("crypto-assets-code")).read_text().replace(cluster.url, "http://127.0.0.1:9")
        )
        monkeypatch.setenv("KUBECONFIG", str(path))
    else:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    with pytest.raises(InstanceError) as caught:
        janitor.sweep_as_configured(instance)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "expired" not in str(caught.value).replace("(expired or", "")


def test_the_sensor_reports_what_it_found_and_then_that_all_is_well(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance
) -> None:
    run = started(instance)
    submit("job", run.run_id, container={"image": "built-here:1", "imagePullPolicy": "Never"})
    wait_for(lambda: "ErrImageNeverPull" in str(cluster.pods()))
    cursor, seen = None, []
    for _ in range(3):
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            result = janitor.janitor(context)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        checks = [e for e in result.asset_events if isinstance(e, dg.AssetCheckEvaluation)]
        seen.append(checks[0].passed if checks else None)
    assert seen == [False, True, None], "stuck, then clean, then nothing new to say"


REFUSALS: dict[str, tuple[Callable[[Cluster], None], str, bool]] = {
    "account": (
        lambda c: c.store.admission.accounts.discard("crypto-assets-run"),
        'serviceaccount "crypto-assets-run" not found; apply deploy/kustomize/rbac/rbac.yaml',
        False,
    ),
    "standard": (
        lambda c: setattr(c.store.admission, "restricted", True),
        'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
        False,
    ),
    "quota": (
        lambda c: c.store.admission.quota.update(pods=0),
        "exceeded quota: crypto-quota, requested: pods=1, used: pods=0, limited: pods=0; raise the quota",
        True,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_job_whose_pod_is_refused_fails_its_run_at_once(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance, name: str
) -> None:
    refuse, words, heals = REFUSALS[name]
    refuse(cluster)
    run = started(instance)
    submit("job", run.run_id, pod={"serviceAccountName": "crypto-assets-run"})
    wait_for(lambda: cluster.store.events)
    done = sweep(instance)
    assert (dict(done.plan.found), done.failed, done.trouble) == ({"FailedCreate": 1}, 1, None)
    assert words in failure(instance, run)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert ("dagster/max_retries" in found.tags) is not heals
    assert cluster.jobs() == []
    assert not cluster.rights.refused


def test_a_role_that_may_not_read_events_stops_no_sweep(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance
) -> None:
    cluster.rights.granted["crypto-assets-code"].discard(("list", "events"))
    cluster.store.admission.quota["pods"] = 0
    run = started(instance)
    submit("job", run.run_id)
    wait_for(lambda: cluster.store.events)
    done = sweep(instance)
    assert (done.plan.stuck, done.failed) == (0, 0)
    assert 'cannot list resource "events"' in done.sentence()
    time.sleep(1.1)
    sweep(instance, rules=SOON)
    assert "the Job has had no pod for" in failure(instance, run)


def test_what_is_being_deleted_is_counted_apart_and_deleted_once(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance
) -> None:
    """A pod on a node that does not answer, and a Job that a finalizer holds."""
    over = started(instance, DagsterRunStatus.FAILURE)
    submit("lost", over.run_id, pod={"terminationGracePeriodSeconds": 1})
    submit("held", over.run_id)["metadata"]["finalizers"] = ["example.com/held"]
    wait_for(lambda: len(cluster.node.running()) == 2)
    cluster.node.silent = True
    assert sweep(instance, rules=SOON).deleted == 1
    assert [job["metadata"]["name"] for job in cluster.jobs()] == ["held"]
    wait_for(lambda: all("deletionTimestamp" in pod["metadata"] for pod in cluster.pods()))
    time.sleep(2)  # a timestamp has whole seconds
    cluster.calls.clear()
    for _ in range(3):
        done = sweep(instance, rules=SOON)
        assert (done.plan.stuck, done.deleted, done.well) == (0, 0, True)
        assert "0 stuck of 1 Job(s) and 2 pod(s); failed 0 run(s), deleted 0; 3 ending" in done.sentence()
    assert {verb for verb, _ in cluster.calls} == {"list"}, "nothing is deleted again"
    lasting = sweep(instance, rules=replace(SOON, ending=timedelta(0)))
    metadata, check = janitor.report(lasting)
    assert (check.passed, lasting.plan.stuck, metadata["ending_too_long"].value) == (False, 0, 3)
    assert "3 of them for too long, e.g. held: ending since" in str(check.description)
    said = " ".join(lasting.plan.ending.values())
    assert "the finalizer example.com/held holds it" in said
    assert "node node-1 has not confirmed that its process is over" in said
    well, text = doctor_deployment.kubernetes(Settings.from_env({"CRYPTO_ASSETS_KUBE_NAMESPACE": NAMESPACE}))
    assert (well, "none stuck" in text) == (True, True)


def test_a_run_whose_node_is_lost_fails_with_that_reason(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance
) -> None:
    """The pod stays, since nothing confirms its end; the Job does not say that it failed."""
    run = started(instance)
    submit("job", run.run_id, pod={"terminationGracePeriodSeconds": 600})
    (pod,) = wait_for(cluster.node.running)
    cluster.node.silent = True
    cluster.store.evict(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
    assert sweep(instance).failed == 0, "its grace is not over"
    with cluster.store.lock:
        (lost,) = (found for found in cluster.store.objects.values() if found["metadata"]["name"] == pod)
        lost["metadata"]["deletionTimestamp"] = stamp(datetime.now(timezone.utc) - timedelta(seconds=1))
    assert sweep(instance).failed == 1
    assert "node node-1 was lost or tainted" in failure(instance, run)
    assert "(Taint manager: deleting due to NoExecute taint)" in failure(instance, run)
    done = sweep(instance)
    assert (done.plan.stuck, done.deleted, len(done.plan.ending)) == (0, 0, 1)


def test_a_drained_node_is_named_although_its_pod_is_gone(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance
) -> None:
    """The eviction API deletes the pod; the failure policy of deploy/ makes the Job keep the reason."""
    config = yaml.safe_load((BASE / "dagster.yaml").read_text())["run_launcher"]["config"]["run_k8s_config"]
    policy = config["job_spec_config"]["pod_failure_policy"]["rules"][0]
    rule = {"action": policy["action"], "onPodConditions": policy["on_pod_conditions"]}
    open_run, interrupted = started(instance), started(instance)
    for name, run in (("open", open_run), ("interrupted", interrupted)):
        submit(name, run.run_id, podFailurePolicy={"rules": [rule]})
    for pod in wait_for(lambda: len(found := cluster.node.running()) == 2 and found):
        cluster.store.evict(pod, "EvictionByEvictionAPI", "Eviction API: evicting")
    wait_for(lambda: not cluster.pods())
    wait_for(lambda: all(job["status"]["conditions"][-1]["type"] == "Failed" for job in cluster.jobs()))
    instance.report_run_failed(interrupted, "Execution was interrupted unexpectedly")
    sweep(instance)
    words = "Disrupted: the cluster took the pod away: its node was drained"
    assert words in failure(instance, open_run)
    said = [str(entry.message) for entry in instance.all_logs(interrupted.run_id)]
    assert [text for text in said if f"What became of its pod: {words}" in text], (
        "it failed before the reason was known"
    )
    assert cluster.jobs() == []


def test_two_installations_in_one_namespace_clean_only_their_own(
    cluster: Cluster, submit: JobMaker, new_instance: Callable[[], DagsterInstance]
) -> None:
    first, second = new_instance(), new_instance()
    never = {"image": "built-here:1", "imagePullPolicy": "Never"}
    for name, instance in (("first", first), ("second", second)):
        submit(f"{name}-never", started(instance).run_id, container=never)
        submit(f"{name}-left", started(instance, DagsterRunStatus.FAILURE).run_id)
        submit(f"{name}-well", started(instance).run_id)
    wait_for(lambda: str(cluster.pods()).count("ErrImageNeverPull") == 2 and len(cluster.node.running()) == 4)

    def names() -> set[str]:
        return {job["metadata"]["name"] for job in cluster.jobs()}

    done = sweep(first, rules=SOON)
    assert (done.plan.stuck, done.failed, done.deleted, done.plan.seen["other"]) == (2, 1, 2, 6)
    assert names() == {"first-well", "second-never", "second-left", "second-well"}
    assert sweep(first, rules=SOON).plan.stuck == 0, "what is dead of the other does not count here"
    assert not [run for run in second.get_runs() if "Never" in failure(second, run)]
    assert sweep(second, rules=SOON).deleted == 2
    assert names() == {"first-well", "second-well"}


def test_a_copy_of_the_database_leaves_the_jobs_of_the_first_alone(
    cluster: Cluster, submit: JobMaker, new_instance: Callable[[], DagsterInstance]
) -> None:
    first, copied = new_instance(), new_instance()
    own, other = installation_id(first), installation_id(copied)
    assert own != other
    assert own is not None
    assert re.fullmatch("[0-9a-f]{12}", own)
    run = started(first)
    copied.run_storage.add_run(run)
    made = submit("never", run.run_id, container={"image": "built-here:1", "imagePullPolicy": "Never"})
    made["metadata"]["labels"][INSTALLATION_LABEL] = own
    wait_for(lambda: "ErrImageNeverPull" in str(cluster.pods()))
    assert sweep(copied).plan.seen["other"] == 2
    assert [job["metadata"]["name"] for job in cluster.jobs()] == ["never"]
    assert sweep(first).deleted == 1


def test_a_list_whose_next_page_is_forgotten_is_read_again(
    cluster: Cluster, submit: JobMaker, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PAGE", 2)
    with cluster.store.lock:
        for n in range(5):
            submit(f"job-{n}", started(instance).run_id)["status"] = {"frozen": True, "active": 1}
    cluster.expire_next = 2
    assert sweep(instance).plan.seen["jobs"] == 5
    cluster.expire_next = 1_000
    with pytest.raises(InstanceError, match="cannot list: the list changes faster than it can be read"):
        sweep(instance)


def test_a_busy_server_is_waited_for_but_not_for_ever(
    cluster: Cluster, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.busy(1, 1)
    assert sweep(instance).plan.stuck == 0, "asked again after a second"
    monkeypatch.setattr(api, "LONGEST_WAIT_S", 0.1)
    cluster.busy(1_000, 3_600)
    with pytest.raises(InstanceError, match=r"the API server is too busy \(429\)"):
        sweep(instance)


def test_the_asset_says_the_same(cluster: Cluster, submit: JobMaker, instance: DagsterInstance) -> None:
    result = dg.materialize([janitor.cluster_health], instance=instance)
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.description) == (True, "0 stuck of 0 Job(s) and 0 pod(s); failed 0 run(s), deleted 0")


def test_the_doctor_looks_at_the_cluster(
    cluster: Cluster, submit: JobMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings.from_env({"CRYPTO_ASSETS_KUBE_NAMESPACE": NAMESPACE})
    assert doctor_deployment.kubernetes(settings) == (
        True,
        "namespace crypto: 0 Job(s) and 0 pod(s) of ours, none stuck",
    )
    submit("job", str(uuid.uuid4()), container={"image": "built-here:1", "imagePullPolicy": "Never"})
    wait_for(lambda: "ErrImageNeverPull" in str(cluster.pods()))
    well, text = doctor_deployment.kubernetes(settings)
    assert not well
    assert "1 stuck, e.g. job: image built-here:1 is not on the node" in text
    assert len(cluster.jobs()) == 1, "it only looks"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    with pytest.raises(InstanceError, match="no way to the Kubernetes API"):
        doctor_deployment.kubernetes(settings)
