"""The launcher against the double: what a Job carries, what becomes of it, and the sentence when it cannot be made."""

from __future__ import annotations

import time
import types
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.base import WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster_k8s.job import get_job_name_from_run_id

from crypto_assets.errors import InstanceError
from crypto_assets.runtime.kubernetes import creation
from crypto_assets.runtime.kubernetes import executor as executor_module
from crypto_assets.runtime.kubernetes import launcher as launcher_module
from crypto_assets.runtime.kubernetes.executor import in_pods
from crypto_assets.runtime.kubernetes.installation import installation_id
from crypto_assets.runtime.kubernetes.launcher import RunPods
from crypto_assets_tests.runtime.kubernetes.conftest import JobMaker
from crypto_assets_tests.runtime.kubernetes.double import Cluster
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.production import IMAGE, NAMESPACE, instance_yaml


@pytest.fixture
def launcher(
    cluster: Cluster, instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunPods]:
    """The launcher of the production instance, as the daemon's service account."""
    kubeconfig = cluster.node.kubeconfigs["crypto-assets-daemon"]
    config = yaml.safe_load(instance_yaml(tmp_path, 5, 30, 2))["run_launcher"]["config"]
    config |= {"job_namespace": NAMESPACE, "job_image": "x", "kubeconfig_file": str(kubeconfig)}
    made = RunPods(**config)
    made.register_instance(instance)
    yield made


def stored(instance: DagsterInstance, *tables: str, job: str = "__ASSET_JOB") -> DagsterRun:
    selection = frozenset(AssetKey(table) for table in tables) or None
    run = DagsterRun(job, run_id=str(uuid.uuid4()), status=DagsterRunStatus.STARTED, asset_selection=selection)
    instance.run_storage.add_run(run)
    return run


@pytest.mark.parametrize(
    ("tables", "job", "memory"),
    [
        (("prices",), "__ASSET_JOB", None),
        (("prices", "ml_features", "article_narratives"), "__ASSET_JOB", "6Gi"),
        (("article_narratives",), "__ASSET_JOB", "3Gi"),
        ((), "settle", "6Gi"),
    ],
)
def test_a_run_gets_the_memory_of_its_largest_asset(
    launcher: RunPods, instance: DagsterInstance, tables: tuple[str, ...], job: str, memory: str | None
) -> None:
    run = stored(instance, *tables, job=job)
    size = launcher.size_of(run)
    assert (size and size["limits"]["memory"]) == memory
    context = launcher.get_container_context_for_run(run)
    assert context.run_k8s_config.container_config["resources"]["limits"]["memory"] == (memory or "2Gi")


def test_a_runs_own_tag_decides(launcher: RunPods, instance: DagsterInstance) -> None:
    tag = '{"container_config": {"resources": {"limits": {"memory": "9Gi"}}}}'
    run = stored(instance, "ml_features").with_tags({"dagster-k8s/config": tag})
    context = launcher.get_container_context_for_run(run)
    assert context.run_k8s_config.container_config["resources"]["limits"]["memory"] == "9Gi"


def test_health_is_the_pods_and_not_the_counters(
    cluster: Cluster, launcher: RunPods, instance: DagsterInstance, submit: JobMaker
) -> None:
    runs = {name: stored(instance, "prices") for name in ("well", "oom", "evicted", "never", "gone")}
    for name in ("well", "oom", "evicted"):
        submit(get_job_name_from_run_id(runs[name].run_id), runs[name].run_id)
    wait_for(lambda: len(cluster.node.running()) == 3)
    pods = {pod["metadata"]["labels"]["dagster/run-id"]: pod["metadata"]["name"] for pod in cluster.pods()}
    submit(
        get_job_name_from_run_id(runs["never"].run_id),
        runs["never"].run_id,
        container={"image": "built-here:1", "imagePullPolicy": "Never"},
    )
    cluster.node.out_of_memory(pods[runs["oom"].run_id])
    cluster.node.evict(pods[runs["evicted"].run_id])
    wait_for(lambda: sum(job.get("status", {}).get("failed", 0) for job in cluster.jobs()) == 2)
    wait_for(lambda: "ErrImageNeverPull" in str(cluster.pods()))
    health = {name: launcher.check_run_worker_health(run) for name, run in runs.items()}
    assert health["well"].status is WorkerStatus.RUNNING
    for name, words in (("oom", "more memory than its limit"), ("evicted", "evicted"), ("never", "policy is Never")):
        assert health[name].status is WorkerStatus.FAILED
        assert words in str(health[name].msg)
        assert str(launcher.get_run_worker_debug_info(runs[name])).startswith(str(health[name].msg)[:40])
    assert health["gone"].status is WorkerStatus.UNKNOWN, "run monitoring fails it"
    tags = {name: run.tags for name, run in ((n, instance.get_run_by_id(r.run_id)) for n, r in runs.items()) if run}
    assert [name for name in tags if "dagster/max_retries" in tags[name]] == ["never"], "the others may be tried again"
    assert not cluster.rights.refused


def launchable(instance: DagsterInstance, *tables: str) -> DagsterRun:
    """A run with what a launcher needs of it."""
    repository = RepositoryPythonOrigin("python", ModuleCodePointer("crypto_assets.definitions", "defs"))
    selection = frozenset(AssetKey(table) for table in tables) or None
    origin = JobPythonOrigin("j", repository)
    run = DagsterRun("j", run_id=str(uuid.uuid4()), job_code_origin=origin, asset_selection=selection)
    instance.run_storage.add_run(run)
    return run


def test_the_job_of_a_launch_is_taken_by_a_strict_server(
    cluster: Cluster, launcher: RunPods, instance: DagsterInstance
) -> None:
    """Its schema and rules, the restricted standard, an account that exists; and its labels say whose it is."""
    cluster.store.admission.restricted = True
    run = launchable(instance, "ml_features")
    launcher.launch_run(LaunchRunContext(run, workspace=None))
    (job,) = cluster.jobs()
    pod = wait_for(lambda: next(iter(cluster.pods()), None))
    assert cluster.store.events == []
    own = installation_id(instance)
    for labels in (job["metadata"]["labels"], pod["metadata"]["labels"]):
        assert labels["crypto-assets/owner"] == "crypto-assets"
        assert labels["crypto-assets/installation"] == own
        assert labels["dagster/run-id"] == run.run_id
    assert job["spec"]["podFailurePolicy"]["rules"][0]["action"] == "FailJob"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock client waits ten seconds between its tries; here some hundredths."""
    slept = types.SimpleNamespace(sleep=lambda _: time.sleep(0.02), time=time.time)
    monkeypatch.setattr("dagster_k8s.client.time", slept)
    monkeypatch.setattr(creation, "AGAIN_S", 0.05)


@pytest.mark.parametrize("trouble", ["away", "busy", "starting"])
def test_a_launch_waits_for_an_api_that_is_away_or_busy(
    cluster: Cluster, launcher: RunPods, instance: DagsterInstance, hurried: None, trouble: str
) -> None:
    run = launchable(instance)
    with ThreadPoolExecutor() as threads, ExitStack() as until:
        if trouble == "away":
            until.enter_context(cluster.away())
        elif trouble == "busy":
            cluster.busy(6, 1, "create")
        else:
            cluster.fail(503, "ServiceUnavailable", "apiserver not ready", 6, "create")
        launch = threads.submit(launcher.launch_run, LaunchRunContext(run, workspace=None))
        time.sleep(0.5)
        assert not launch.done() or trouble != "away"
        until.close()
        launch.result(60)
    assert [job["metadata"]["labels"]["dagster/run-id"] for job in cluster.jobs()] == [run.run_id]


def test_a_launch_whose_answer_was_lost_is_a_launch(
    cluster: Cluster, launcher: RunPods, instance: DagsterInstance, submit: JobMaker
) -> None:
    run = launchable(instance)
    submit(get_job_name_from_run_id(run.run_id), run.run_id)
    launcher.launch_run(LaunchRunContext(run, workspace=None))
    assert len(cluster.jobs()) == 1


def test_a_run_that_is_cancelled_while_it_waits_is_not_launched(
    cluster: Cluster, launcher: RunPods, instance: DagsterInstance, hurried: None
) -> None:
    run = launchable(instance)
    instance.report_run_canceling(run)
    with cluster.away(), pytest.raises(InstanceError, match="cannot be reached"):
        launcher.launch_run(LaunchRunContext(run, workspace=None))
    assert cluster.jobs() == []


def test_a_launch_does_not_wait_for_ever(
    cluster: Cluster, launcher: RunPods, instance: DagsterInstance, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_module, "LAUNCH_SHARE", 0.01)  # of 30 s
    with cluster.away(), pytest.raises(InstanceError, match=r"no run pod can be made .* cannot be reached"):
        launcher.launch_run(LaunchRunContext(launchable(instance), workspace=None))


def test_a_launch_that_a_quota_refuses_is_not_a_matter_of_rights(
    cluster: Cluster, launcher: RunPods, instance: DagsterInstance
) -> None:
    cluster.store.admission.quota["count/jobs.batch"] = 0
    with pytest.raises(InstanceError, match=r"exceeded quota: crypto-quota, requested: count/jobs\.batch=1") as caught:
        launcher.launch_run(LaunchRunContext(launchable(instance), workspace=None))
    assert str(caught.value).endswith("raise the quota of the namespace, or lower max_concurrent_runs")
    assert "Role" not in str(caught.value)


def test_a_run_that_waits_for_its_pod_tells_why_when_its_start_times_out(
    cluster: Cluster, launcher: RunPods, instance: DagsterInstance, submit: JobMaker
) -> None:
    cluster.store.admission.quota["pods"] = 0
    run = stored(instance, "prices")
    submit(get_job_name_from_run_id(run.run_id), run.run_id)
    wait_for(lambda: cluster.store.events)
    assert "exceeded quota: crypto-quota" in str(launcher.get_run_worker_debug_info(run)).splitlines()[0]


def test_no_kubeconfig_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match=r"no way to the Kubernetes API of namespace crypto .*set KUBECONFIG"):
        RunPods(
            service_account_name="x", instance_config_map="x", dagster_home="/x", job_namespace="crypto",
            load_incluster_config=False, kubeconfig_file=str(tmp_path / "nothing"),
        )  # fmt: skip


RANGE = (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)


@pytest.mark.parametrize(
    ("tags", "steps", "pods"),
    [
        ({}, ["ml_features", "prices"], False),
        ({RANGE[0]: "2023-01-01", RANGE[1]: "2023-12-31"}, ["ml_features", "prices"], True),
        ({RANGE[0]: "2023-01-01", RANGE[1]: "2023-12-31"}, ["ml_features"], False),
        ({RANGE[0]: "2023-01-01", RANGE[1]: "2023-12-31"}, ["prices", "ohlc"], False),
        ({RANGE[0]: "2023-01-01", RANGE[1]: "2023-01-31"}, ["article_narratives", "prices"], True),
        ({"crypto_assets/steps": "pods"}, ["prices"], True),
        (
            {"crypto_assets/steps": "process", RANGE[0]: "2023-01-01", RANGE[1]: "2023-12-31"},
            ["ml_features", "x"],
            False,
        ),
    ],
)
def test_steps_get_pods_where_they_earn_them(tags: dict[str, str], steps: list[str], pods: bool) -> None:
    assert in_pods(tags, steps) is pods


def test_a_step_waits_for_an_api_that_is_away(
    cluster: Cluster, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, hurried: None
) -> None:
    """The client of the stock executor, as the run's pod has it."""
    config = {
        "load_incluster_config": False,
        "kubeconfig_file": str(cluster.node.kubeconfigs["crypto-assets-run"]),
        "job_namespace": NAMESPACE,
        "retries": {"enabled": {}},
    }
    job = InMemoryJob(dg.GraphDefinition(name="j").to_job())
    context = dg.InitExecutorContext(job, executor_module.pods_where_earned, config, instance)
    made = executor_module._in_pods(context)
    client = made._step_handler._api_client  # type: ignore[attr-defined]
    container = {"name": "c", "image": IMAGE, "args": ["sleep", "1"]}
    body = {"metadata": {"name": "step"}, "spec": {"template": {"spec": {"containers": [container]}}}}
    body["spec"]["template"]["spec"]["restartPolicy"] = "Never"  # type: ignore[index]
    cluster.busy(3, 1, "create")
    client.create_namespaced_job_with_retries(body=body, namespace=NAMESPACE)
    assert [job["metadata"]["name"] for job in cluster.jobs()] == ["step"]


def test_another_word_is_refused() -> None:
    with pytest.raises(Exception, match="write pods or process"):
        in_pods({"crypto_assets/steps": "maybe"}, ["prices"])


@pytest.mark.parametrize(
    ("account", "namespace", "words"),
    [
        ("crypto-assets-webserver", NAMESPACE, 'cannot create resource "jobs" in API group "batch"'),
        ("crypto-assets-daemon", "elsewhere", 'in the namespace "elsewhere"; grant it by the Role'),
    ],
)
def test_a_run_that_cannot_be_launched_says_why(
    cluster: Cluster, instance: DagsterInstance, tmp_path: Path, account: str, namespace: str, words: str
) -> None:
    config = yaml.safe_load(instance_yaml(tmp_path, 5, 30, 2))["run_launcher"]["config"]
    kubeconfig = str(cluster.node.kubeconfigs[account])
    launcher = RunPods(**{**config, "job_namespace": namespace, "job_image": "x", "kubeconfig_file": kubeconfig})
    launcher.register_instance(instance)
    run = launchable(instance)
    with pytest.raises(InstanceError, match=f"no run pod can be made in namespace {namespace}") as caught:
        launcher.launch_run(LaunchRunContext(run, workspace=None))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cluster.jobs() == []
