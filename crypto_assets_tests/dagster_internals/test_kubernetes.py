"""What is relied on of dagster-k8s' internals: each test names what moved or changed when it fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster import DagsterInstance, DagsterRun
from dagster._core.definitions.job_base import InMemoryJob
from dagster_k8s import K8sRunLauncher

from crypto_assets.dagster_internals import kubernetes


@pytest.fixture
def launcher(tmp_path: Path, instance: DagsterInstance) -> K8sRunLauncher:
    """The stock launcher of a cluster that is not there: nothing is asked of it."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    made = K8sRunLauncher(
        service_account_name="account",
        instance_config_map="map",
        dagster_home="/home",
        load_incluster_config=False,
        kubeconfig_file=str(tmp_path / "kubeconfig"),
        job_namespace="space",
        run_k8s_config={"container_config": {"resources": {"limits": {"memory": "1Gi"}}}},
    )
    made.register_instance(instance)
    return made


def test_the_launchers_client_asks_for_jobs_and_their_pods(launcher: K8sRunLauncher) -> None:
    client = kubernetes.client_of(launcher)
    assert callable(client.get_pods_in_job)
    assert callable(client.get_job_status)
    assert client.batch_api.api_client.sanitize_for_serialization({"a": 1}) == {"a": 1}


def test_a_runs_job_has_the_name_that_the_launcher_gives_it(launcher: K8sRunLauncher) -> None:
    assert kubernetes.job_name_of(launcher, DagsterRun("job", run_id="abc")) == "dagster-run-abc"


def test_a_runs_configuration_is_merged(launcher: K8sRunLauncher) -> None:
    context = launcher.get_container_context_for_run(DagsterRun("job"))
    assert isinstance(context, kubernetes.K8sContainerContext)
    assert context.namespace == "space"
    more = {"resources": {"limits": {"memory": "2Gi"}}}
    config = kubernetes.UserDefinedDagsterK8sConfig(container_config=more)
    merged = context.merge(kubernetes.K8sContainerContext(run_k8s_config=config))
    assert merged.run_k8s_config.container_config["resources"] == more["resources"]


def test_a_runs_tags_say_its_configuration() -> None:
    tags = {"dagster-k8s/config": '{"container_config": {"resources": {"limits": {"memory": "9Gi"}}}}'}
    found = kubernetes.get_user_defined_k8s_config(tags)
    assert found.container_config == {"resources": {"limits": {"memory": "9Gi"}}}
    assert not kubernetes.get_user_defined_k8s_config({}).container_config


@pytest.mark.parametrize(
    "kind", [kubernetes.DagsterK8sUnrecoverableAPIError, kubernetes.DagsterK8sAPIRetryLimitExceeded]
)
def test_a_refusal_has_the_answer_of_the_api_server(kind: Callable[..., Any]) -> None:
    answer = ValueError("403")
    more = {"max_retries": 3} if kind is kubernetes.DagsterK8sAPIRetryLimitExceeded else {}
    error = kind("why", k8s_api_exception=answer, original_exc_info=(ValueError, answer, None), **more)
    assert error.k8s_api_exception is answer


def test_an_executor_with_a_pod_a_step_makes_its_jobs_by_one_function(
    launcher: K8sRunLauncher, instance: DagsterInstance
) -> None:
    from dagster_k8s import k8s_job_executor

    config = {"load_incluster_config": False, "kubeconfig_file": launcher.kubeconfig_file, "retries": {"enabled": {}}}
    context = dg.InitExecutorContext(
        InMemoryJob(dg.GraphDefinition(name="j").to_job()), k8s_job_executor, config, instance
    )
    assert k8s_job_executor.executor_creation_fn is not None
    made = k8s_job_executor.executor_creation_fn(context)
    stock: list[Callable[..., None]] = []
    kubernetes.replace_creation(made, lambda found: stock.append(found) or print)
    assert stock[0].__name__ == "create_namespaced_job_with_retries"
    assert made._step_handler._api_client.create_namespaced_job_with_retries is print  # type: ignore[attr-defined]


def test_the_executors_read_one_configuration(launcher: K8sRunLauncher) -> None:
    """The executor of run pods hands the configuration of one stock executor to both."""
    from dagster_k8s import k8s_job_executor

    k8s, local = (stock.config_schema.as_field().config_type for stock in (k8s_job_executor, dg.in_process_executor))
    assert {"retries", "step_dependency_config"} <= set(k8s.fields)  # type: ignore[attr-defined]
    assert {"retries"} <= set(local.fields)  # type: ignore[attr-defined]
