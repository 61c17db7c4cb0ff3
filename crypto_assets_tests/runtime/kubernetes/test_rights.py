"""Every right of the Roles is used by what the account really does, and nothing it does is refused: enough and no more."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster_k8s.job import get_job_name_from_run_id

from crypto_assets.runtime.kubernetes import janitor
from crypto_assets.runtime.kubernetes.api import Cluster as Api
from crypto_assets.runtime.kubernetes.launcher import RunPods
from crypto_assets.settings import KUBE_SELECTOR
from crypto_assets_tests.runtime.kubernetes.conftest import JobMaker
from crypto_assets_tests.runtime.kubernetes.double import Cluster
from crypto_assets_tests.runtime.kubernetes.objects import wait_for
from crypto_assets_tests.runtime.kubernetes.production import NAMESPACE, instance_yaml

Launchers = Callable[[str], RunPods]


@pytest.fixture
def launchers(cluster: Cluster, instance: DagsterInstance, tmp_path: Path) -> Launchers:
    """The production launcher as a service account."""

    def make(account: str) -> RunPods:
        config = yaml.safe_load(instance_yaml(tmp_path, 5, 30, 2))["run_launcher"]["config"]
        kubeconfig = str(cluster.node.kubeconfigs[account])
        made = RunPods(**{**config, "job_namespace": NAMESPACE, "job_image": "x", "kubeconfig_file": kubeconfig})
        made.register_instance(instance)
        return made

    return make


def run_of(instance: DagsterInstance, submit: JobMaker) -> DagsterRun:
    run = DagsterRun("j", run_id=str(uuid.uuid4()), status=DagsterRunStatus.STARTED)
    instance.run_storage.add_run(run)
    submit(get_job_name_from_run_id(run.run_id), run.run_id)
    return run


def test_the_daemon_and_the_webserver(
    cluster: Cluster, instance: DagsterInstance, submit: JobMaker, launchers: Launchers
) -> None:
    daemon = launchers("crypto-assets-daemon")
    run = run_of(instance, submit)
    wait_for(lambda: len(cluster.node.running()) == 1)
    daemon.check_run_worker_health(run)
    assert "kubectl describe pod" in str(daemon.get_run_worker_debug_info(run)), "pods, their log and events"
    assert daemon.terminate(run.run_id)
    wait_for(lambda: cluster.pods() == [])
    daemon.get_run_worker_debug_info(run)  # without a pod the Job is looked for
    client = daemon._api_client
    client.create_namespaced_job_with_retries(body=_job("made-by-the-daemon"), namespace=NAMESPACE)

    webserver = launchers("crypto-assets-webserver")
    run = run_of(instance, submit)
    wait_for(lambda: len(cluster.node.running()) >= 1)
    assert webserver.terminate(run.run_id)
    _exactly(cluster, "crypto-assets-daemon", "crypto-assets-webserver")


def test_the_code_location_and_a_run(
    cluster: Cluster,
    instance: DagsterInstance,
    submit: JobMaker,
    launchers: Launchers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = launchers("crypto-assets-run")._api_client  # the step handler calls these three
    client.create_namespaced_job_with_retries(body=_job("step"), namespace=NAMESPACE)
    wait_for(lambda: len(cluster.pods()) == 1)
    client.get_job_status(job_name="step", namespace=NAMESPACE)
    client.delete_job(job_name="step", namespace=NAMESPACE)
    for account in ("crypto-assets-code", "crypto-assets-run"):  # the janitor: as a sensor, and as a job
        monkeypatch.setenv("KUBECONFIG", str(cluster.node.kubeconfigs[account]))
        api = Api(NAMESPACE, KUBE_SELECTOR)
        run = DagsterRun("j", status=DagsterRunStatus.STARTING)
        instance.run_storage.add_run(run)
        submit("dead", run.run_id, pod={"serviceAccountName": "nobody"})
        wait_for(lambda: "FailedCreate" in str(cluster.store.events))
        assert janitor.sweep(instance, api, dry_run=False).deleted == 1
        cluster.store.events.clear()
        api.delete_job("single")
        api.delete_pod("single")
    _exactly(cluster, "crypto-assets-code", "crypto-assets-run")


def _job(name: str) -> dict[str, object]:
    container = {"name": "dagster", "image": "x", "args": ["sleep", "1"]}
    return {
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


def _exactly(cluster: Cluster, *accounts: str) -> None:
    assert not cluster.rights.refused
    for account in accounts:
        assert cluster.rights.used[account] == cluster.rights.granted[account], account
