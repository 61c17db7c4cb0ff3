"""Runs as Kubernetes Jobs: Dagster's launcher, with resources by the assets of a run, and with reasons for failed pods.

The stock launcher reads only the Job's counters. There a pod that waits for an image that does not exist counts as
active, and an OOM is "K8s job failed". Here the pod is read too, so that run monitoring fails a run with the reason in
words. The stock launcher also takes an API server that does not answer for a run that is lost; here only the server's own
word that the Job is gone counts, and an unknown state is tolerated for ``unknown_patience_seconds``.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import kubernetes.config
import urllib3
from dagster import DagsterRun, DagsterRunStatus, Field, Map, Permissive
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
    K8sContainerContext,
    UserDefinedDagsterK8sConfig,
    client_of,
    get_user_defined_k8s_config,
    job_name_of,
)
from crypto_assets.errors import InstanceError
from crypto_assets.runtime.kubernetes import api, diagnosis
from crypto_assets.runtime.kubernetes.creation import REFUSALS, cause_of, until_served
from crypto_assets.runtime.kubernetes.diagnosis import Problem
from crypto_assets.runtime.kubernetes.installation import installation_id
from crypto_assets.runtime.kubernetes.patience import Patience
from crypto_assets.runtime.kubernetes.sweep import INSTALLATION_LABEL, needs_events

log = logging.getLogger(__name__)
Resources = Mapping[str, Mapping[str, Any]]  # requests and limits
UNKNOWN_PATIENCE_S = 1800  # an upgrade of a control plane takes minutes; without rights nothing is known for ever
LAUNCH_SHARE = 0.8  # of the time that a start may take: so long a launch waits for an API that is away
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
        unknown_patience_seconds: int = UNKNOWN_PATIENCE_S,
        **config: Any,
    ) -> None:
        self.asset_resources = asset_resources or {}
        self._patience_s = start_patience_seconds
        self._unanswered = Patience(timedelta(seconds=unknown_patience_seconds))
        self._installation: str | None = None
        self._clusters: dict[str, api.Cluster] = {}
        namespace = config.get("job_namespace", "default")
        try:
            super().__init__(**config)
        except (kubernetes.config.ConfigException, OSError) as error:
            raise InstanceError(api.no_configuration(namespace, error)) from error

    @classmethod
    def config_type(cls) -> Any:
        """Return the stock configuration with ``asset_resources``, and how long a start and an unknown state may last."""
        return {
            **super().config_type(),
            "asset_resources": Field(Map(str, Permissive(), key_label_name="asset"), is_required=False),
            "start_patience_seconds": Field(int, is_required=False, default_value=300),
            "unknown_patience_seconds": Field(int, is_required=False, default_value=UNKNOWN_PATIENCE_S),
        }

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of every Job and pod that is made: those of the configuration, and the installation."""
        if self._installation is None and self.has_instance:
            self._installation = installation_id(instance_of(self)) or ""
        own = {INSTALLATION_LABEL: self._installation} if self._installation else {}
        return {**super().labels, **own}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run as a Job. An API that is away or busy is waited for.

        Args:
            context: the run.

        Raises:
            InstanceError: the cluster refused, or was away for too long; the message is one sentence.
        """
        self._launch(context.dagster_run, lambda: super(RunPods, self).launch_run(context))

    def resume_run(self, context: ResumeRunContext) -> None:
        """Start a Job that goes on with the run. An API that is away or busy is waited for.

        Args:
            context: the run.

        Raises:
            InstanceError: the cluster refused, or was away for too long; the message is one sentence.
        """
        self._launch(context.dagster_run, lambda: super(RunPods, self).resume_run(context))

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
            FAILED with the reason where the pod will never work; UNKNOWN where the API says that the Job is gone, or has
            not answered for too long. RUNNING for now where it has not answered: a control plane that starts again
            stops no pod.
        """
        name = job_name_of(self, run)
        try:
            job = self._cluster_of(run).job(name)
            if job is None:
                return CheckRunHealthResult(WorkerStatus.UNKNOWN, f"Job {name} is gone: it was deleted from outside")
            problem = self._problem(run, job, self._patience_s)
        except InstanceError as error:
            return self._unknown_now(run, error)
        if (before := self._unanswered.answered(run.run_id)) is not None:
            log.warning(
                "run %s: Kubernetes answers again, after %s poll(s) without an answer", run.run_id, before.times
            )
        counted = _by_counters(run, job.get("status") or {})
        if problem is None or counted.status is WorkerStatus.SUCCESS or not problem.ends_run:
            return counted
        self._spare_what_does_not_heal(run, problem)
        return CheckRunHealthResult(WorkerStatus.FAILED, problem.sentence)

    def _unknown_now(self, run: DagsterRun, error: InstanceError) -> CheckRunHealthResult:
        """Count and log a poll without an answer."""
        found = self._unanswered.unanswered(run.run_id, datetime.now(timezone.utc))
        limit = self._unanswered.limit
        text = (
            f"the state of its pod has been unknown for {found.times} poll(s), since {found.since:%Y-%m-%d %H:%M:%S} UTC "
            f"({error})"
        )
        if found.over:
            self._unanswered.answered(run.run_id)
            text = f"{text}; the patience of {limit} (unknown_patience_seconds) is over"
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, text)
        log.warning("run %s: %s; it counts as running until that has lasted %s", run.run_id, text, limit)
        return CheckRunHealthResult(WorkerStatus.RUNNING, text)

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Describe the Job and its pod, with the reason first.

        Args:
            run: the run.
            include_container_logs: whether to add the logs.

        Returns:
            The text; None if the API cannot be read.
        """
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError, InstanceError):
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
            The problem; None without one, or without a Job.

        Raises:
            InstanceError: the API does not serve us.
        """
        job = self._cluster_of(run).job(job_name_of(self, run))
        return None if job is None else self._problem(run, job, self._patience_s if patience_s is None else patience_s)

    def _problem(self, run: DagsterRun, job: Mapping[str, Any], patience_s: float) -> Problem | None:
        cluster = self._cluster_of(run)
        pods = cluster.pods_of(job["metadata"]["name"])
        events = cluster.refusals() if needs_events([job], pods) else []
        return diagnosis.of_work(job, pods, events, datetime.now(timezone.utc), patience_s)

    def _cluster_of(self, run: DagsterRun) -> api.Cluster:
        """The namespace of a run. The stock client's calls have no time limit, and wait 30 s in all for some answers."""
        namespace = self.get_container_context_for_run(run).namespace or self.job_namespace
        if namespace not in self._clusters:
            configuration = client_of(self).batch_api.api_client.configuration
            selector = ",".join(f"{key}={value}" for key, value in super().labels.items())
            self._clusters[namespace] = api.Cluster(namespace, selector, configuration)
        return self._clusters[namespace]

    def _spare_what_does_not_heal(self, run: DagsterRun, problem: Problem) -> None:
        """Turn off the retry of a run whose problem does not heal, e.g. an image that does not exist."""
        if not problem.heals and self.has_instance:
            instance_of(self).add_run_tags(run.run_id, NO_RETRY)

    def _launch(self, run: DagsterRun, launch: Callable[[], None]) -> None:
        """Make a Job. Run monitoring fails a run that has not started within its limit, so the wait ends before that."""
        limit_s = LAUNCH_SHARE * self._patience_s
        try:
            until_served(launch, limit_s, exists=lambda: self._has_job(run), wanted=lambda: self._is_wanted(run))
        except REFUSALS as error:
            namespace = self.get_container_context_for_run(run).namespace
            text = f"no run pod can be made in namespace {namespace}: {api.sentence(cause_of(error))}"
            raise InstanceError(text) from error

    def _has_job(self, run: DagsterRun) -> bool:
        job = self._cluster_of(run).job(job_name_of(self, run))
        return job is not None and diagnosis.deleted_at(job) is None

    def _is_wanted(self, run: DagsterRun) -> bool:
        """Whether a run should still start: it may have been cancelled while it waited."""
        now = instance_of(self).get_run_by_id(run.run_id)
        return now is not None and not now.is_finished and now.status is not DagsterRunStatus.CANCELING


def _by_counters(run: DagsterRun, status: Mapping[str, Any]) -> CheckRunHealthResult:
    """Judge a Job by its counters, as the stock launcher does."""
    active, failed, succeeded = (status.get(name) or 0 for name in ("active", "failed", "succeeded"))
    over = not active and (failed or succeeded)
    if over and run.status in (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING):
        return CheckRunHealthResult(WorkerStatus.FAILED, "its Job is over but the run did not say how it ended")
    if succeeded:
        return CheckRunHealthResult(WorkerStatus.SUCCESS)
    return CheckRunHealthResult(WorkerStatus.FAILED if over else WorkerStatus.RUNNING)


def _memory(size: Resources) -> float:
    limit = (size.get("limits") or size.get("requests") or {}).get("memory", 0)
    return float(parse_quantity(limit))
