"""The janitor against an API server that enforces its rights: what is dead goes in a few calls, nothing else does."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from crypto_assets.errors import InstanceError
from crypto_assets.operate import doctor_deployment
from crypto_assets.runtime.kubernetes import janitor
from crypto_assets.runtime.kubernetes.api import Cluster as Api
from crypto_assets.runtime.kubernetes.sweep import Rules
from crypto_assets.settings import KUBE_SELECTOR, Settings
from crypto_assets_tests.runtime.kubernetes.conftest import JobMaker
from crypto_assets_tests.runtime.kubernetes.double import Cluster
from crypto_assets_tests.runtime.kubernetes.node import stamp
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.production import NAMESPACE

SOON = Rules(start=timedelta(seconds=1), settle=timedelta(0))


def sweep(instance: DagsterInstance, *, dry_run: bool = False, rules: Rules | None = None) -> janitor.Sweep:
    return janitor.sweep(instance, Api(NAMESPACE, KUBE_SELECTOR), dry_run=dry_run, rules=rules)


def started(instance: DagsterInstance) -> DagsterRun:
    """A run that waits for its pod."""
    run = DagsterRun(job_name="j", run_id=str(uuid.uuid4()), status=DagsterRunStatus.STARTING)
    instance.run_storage.add_run(run)
    return run


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
    assert len(cluster.pods()) == 1
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
    assert (cluster.jobs(), cluster.pods()) == ([], [])


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
