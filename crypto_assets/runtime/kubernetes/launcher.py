"""Runs as Kubernetes Jobs: Dagster's launcher, with resources by the assets of a run, and with reasons for failed pods.

The stock launcher reads only the Job's counters. There a pod that waits for an image that does not exist counts as
active, and an OOM is "K8s job failed". Here the pod is read too, so that run monitoring fails a run with the reason in
words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import kubernetes.config
import urllib3
from dagster import DagsterRun, Field, Map, Permissive
from dagster_k8s import K8sRunLauncher
from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity

from crypto_assets.dagster_internals.core import (
    CheckRunHealthResult,
    LaunchRunContext,
    ResumeRunContext,
    WorkerStatus,
    instance_of,
)
from crypto_assets.dagster_internals.kubernetes import (
    DagsterK8sAPIRetryLimitExceeded,
    DagsterK8sUnrecoverableAPIError,
    K8sContainerContext,
    UserDefinedDagsterK8sConfig,
    client_of,
    get_user_defined_k8s_config,
    job_name_of,
)
from crypto_assets.errors import InstanceError
from crypto_assets.runtime.kubernetes import api, diagnosis
from crypto_assets.runtime.kubernetes.diagnosis import Problem

Resources = Mapping[str, Mapping[str, Any]]  # requests and limits
NO_RETRY = {"dagster/max_retries": "0"}  # tags for a run whose problem does not heal


class RunPods(K8sRunLauncher):
    """Dagster's launcher with ``asset_resources``: requests and limits by asset or job of a run.

    The largest counts.
    """

    def __init__(
        self,
        *,
        asset_resources: Mapping[str, Resources] | None = None,
        start_patience_seconds: int = 300,
        **config: Any,
    ) -> None:
        self.asset_resources = asset_resources or {}
        self._patience_s = start_patience_seconds
        namespace = config.get("job_namespace", "default")
        try:
            super().__init__(**config)
        except (kubernetes.config.ConfigException, OSError) as error:
            raise InstanceError(api.no_configuration(namespace, error)) from error

    @classmethod
    def config_type(cls) -> Any:
        """Return the stock configuration with ``asset_resources`` and ``start_patience_seconds``."""
        return {
            **super().config_type(),
            "asset_resources": Field(Map(str, Permissive(), key_label_name="asset"), is_required=False),
            "start_patience_seconds": Field(int, is_required=False, default_value=300),
        }

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run as a Job.

        Args:
            context: the run.

        Raises:
            InstanceError: the cluster refused; the message is one sentence.
        """
        with self._one_sentence(context.dagster_run):
            super().launch_run(context)

    def resume_run(self, context: ResumeRunContext) -> None:
        """Start a Job that goes on with the run.

        Args:
            context: the run.

        Raises:
            InstanceError: the cluster refused; the message is one sentence.
        """
        with self._one_sentence(context.dagster_run):
            super().resume_run(context)

    def get_container_context_for_run(self, dagster_run: DagsterRun) -> K8sContainerContext:
        """Combine the instance's configuration, the resources of the run, and the run's own tags.

        The tags count most.
        """
        plain = super().get_container_context_for_run(dagster_run)
        size = self.size_of(dagster_run)
        if size is None or get_user_defined_k8s_config(dagster_run.tags).container_config.get("resources"):
            return plain
        config = UserDefinedDagsterK8sConfig(container_config={"resources": size})
        return plain.merge(K8sContainerContext(run_k8s_config=config))

    def size_of(self, run: DagsterRun) -> Resources | None:
        """Find the resources of a run: the largest of its assets and its job.

        Args:
            run: the run.

        Returns:
            Requests and limits; None where none are configured.
        """
        names = {run.job_name} | {key.to_user_string() for key in run.asset_selection or ()}
        found = [self.asset_resources[name] for name in names if name in self.asset_resources]
        if run.asset_selection is None and run.job_name not in self.asset_resources:
            found = list(self.asset_resources.values())  # it may contain the whole graph
        return max(found, key=_memory, default=None)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Check the Job and its pod.

        Args:
            run: the run.

        Returns:
            The stock result; a failure with the reason where the pod will never work.
        """
        stock = super().check_run_worker_health(run)
        if stock.status is WorkerStatus.SUCCESS:
            return stock
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):  # then the stock result counts
            problem = self.problem(run)
            if problem is not None:
                self._spare_what_does_not_heal(run, problem)
                return CheckRunHealthResult(WorkerStatus.FAILED, problem.sentence)
        return stock

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Describe the Job and its pod, with the reason first.

        Args:
            run: the run.
            include_container_logs: whether to add the logs.

        Returns:
            The text; None if the API cannot be read.
        """
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
            first = []
            if (problem := self.problem(run, patience_s=0.0)) is not None:  # the start already took too long
                self._spare_what_does_not_heal(run, problem)
                first = [problem.sentence]
            details = super().get_run_worker_debug_info(run, include_container_logs)
            return "\n".join([*first, *([details] if details else [])])
        return None

    def problem(self, run: DagsterRun, patience_s: float | None = None) -> Problem | None:
        """Find what keeps the pod of a run from working.

        Args:
            run: the run.
            patience_s: seconds that a state may take to heal; by default ``start_patience_seconds``.

        Returns:
            The problem; None without one. Errors of the client are not caught.
        """
        name, client = job_name_of(self, run), client_of(self)
        namespace = self.get_container_context_for_run(run).namespace or self.job_namespace
        plain = client.batch_api.api_client.sanitize_for_serialization
        for pod in client.get_pods_in_job(name, namespace):
            patience = self._patience_s if patience_s is None else patience_s
            found = diagnosis.of_pod(plain(pod), datetime.now(timezone.utc), patience)
            if found is not None:
                return found
        status = client.get_job_status(job_name=name, namespace=namespace)
        return diagnosis.of_job({"status": plain(status)}) if status else None

    def _spare_what_does_not_heal(self, run: DagsterRun, problem: Problem) -> None:
        """Turn off the retry of a run whose problem does not heal, e.g. an image that does not exist."""
        if not problem.heals and self.has_instance:
            instance_of(self).add_run_tags(run.run_id, NO_RETRY)

    @contextlib.contextmanager
    def _one_sentence(self, run: DagsterRun) -> Any:
        namespace = self.get_container_context_for_run(run).namespace
        try:
            yield
        except (DagsterK8sUnrecoverableAPIError, DagsterK8sAPIRetryLimitExceeded) as error:
            cause = error.k8s_api_exception or error
            raise InstanceError(f"no run pod can be made in namespace {namespace}: {api.sentence(cause)}") from error


def _memory(size: Resources) -> float:
    limit = (size.get("limits") or size.get("requests") or {}).get("memory", 0)
    return float(parse_quantity(limit))
