"""Internals of dagster-k8s (seen in 0.29.27)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dagster import DagsterRun, Executor
from dagster_k8s import K8sRunLauncher

# What the client raises when the API server refuses or stays away: the launcher lets it through.
from dagster_k8s.client import (
    DagsterK8sAPIRetryLimitExceeded,
    DagsterK8sUnrecoverableAPIError,
    DagsterKubernetesClient,
)

# The configuration of a run's Job, which ``get_container_context_for_run`` returns: resources are merged into it.
from dagster_k8s.container_context import K8sContainerContext

# The parts of that configuration, and what the tags of a run say of it.
from dagster_k8s.job import UserDefinedDagsterK8sConfig, get_job_name_from_run_id, get_user_defined_k8s_config

__all__ = [
    "DagsterK8sAPIRetryLimitExceeded",
    "DagsterK8sUnrecoverableAPIError",
    "K8sContainerContext",
    "UserDefinedDagsterK8sConfig",
    "client_of",
    "get_user_defined_k8s_config",
    "job_name_of",
    "replace_creation",
]


def client_of(launcher: K8sRunLauncher) -> DagsterKubernetesClient:
    """Return the launcher's own client, with its configuration and retries."""
    return launcher._api_client


def job_name_of(launcher: K8sRunLauncher, run: DagsterRun) -> str:
    """Return the name of the Job that works on a run now: a run that was resumed has one for each attempt."""
    return get_job_name_from_run_id(run.run_id, resume_attempt_number=launcher._get_resume_attempt_number(run))


def replace_creation(executor: Executor, make: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
    """Replace how an executor with a pod a step makes its Jobs.

    Args:
        executor: what ``k8s_job_executor`` made.
        make: takes the stock function (keyword arguments ``body`` and ``namespace``) and returns the new one.
    """
    handler: Any = executor
    client = handler._step_handler._api_client
    client.create_namespaced_job_with_retries = make(client.create_namespaced_job_with_retries)
