"""The Kubernetes API as this platform uses it: Jobs and pods of one namespace, selected by label, in pages.

Objects are the API's JSON, because the client's models cost 10 ms each to build. Every failure is an
:class:`InstanceError` of one sentence.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import kubernetes.client
import kubernetes.config
import urllib3
from kubernetes.client.exceptions import ApiException

from crypto_assets.errors import InstanceError
from crypto_assets.proxies import is_loopback
from crypto_assets.settings import variable

PAGE = 250  # objects per list call
CHOSEN = 40  # runs per delete call: their ids fit in a URL that every proxy accepts
TIMEOUT_S = (3.05, 20.0)  # to connect, and to answer
BACKOFF_S = 0.2
RESTARTS = 3  # of a list whose next page is not to be had any more
LONGEST_WAIT_S = 10.0  # that a busy server may ask for: a sweep and run monitoring must go on


class Cluster:
    """One namespace, and in it only objects with the label ``selector`` (``key=value``).

    Every method raises :class:`InstanceError` when the API does not serve us.
    """

    def __init__(
        self, namespace: str, selector: str, configuration: kubernetes.client.Configuration | None = None
    ) -> None:
        self.namespace, self.selector = namespace, selector
        found = copy.deepcopy(configuration) if configuration is not None else _configuration(namespace)
        found.retries = _Retry(2, backoff_factor=BACKOFF_S, redirect=0, raise_on_status=False)
        self._api = kubernetes.client.ApiClient(found)
        self._batch, self._core = kubernetes.client.BatchV1Api(self._api), kubernetes.client.CoreV1Api(self._api)

    def jobs(self) -> list[dict[str, Any]]:
        """List the Jobs."""
        return self._listed(self._batch.list_namespaced_job, label_selector=self.selector)

    def pods(self) -> list[dict[str, Any]]:
        """List the pods."""
        return self._listed(self._core.list_namespaced_pod, label_selector=self.selector)

    def refusals(self) -> list[dict[str, Any]]:
        """List the events about Jobs whose pod was refused: by its quota, its standard, its service account."""
        chosen = "involvedObject.kind=Job,reason=FailedCreate"
        return self._listed(self._core.list_namespaced_event, field_selector=chosen)

    def job(self, name: str) -> dict[str, Any] | None:
        """Read a Job.

        Args:
            name: its name.

        Returns:
            The Job; None only if the API itself says that there is none of this name.
        """
        with self._sentences("read"):
            try:
                answer = self._batch.read_namespaced_job_status(
                    name, self.namespace, _preload_content=False, _request_timeout=TIMEOUT_S
                )
            except ApiException as error:
                if _is_absent(error, name):
                    return None
                raise
            return dict(json.loads(answer.data))

    def pods_of(self, job_name: str) -> list[dict[str, Any]]:
        """List the pods of a Job."""
        return self._listed(self._core.list_namespaced_pod, label_selector=f"job-name={job_name}")

    def delete_jobs_of(self, run_ids: list[str]) -> None:
        """Delete every Job (with its pods) and left-over pod of these runs, many runs per call."""
        for first in range(0, len(run_ids), CHOSEN):
            selector = f"{self.selector},dagster/run-id in ({','.join(run_ids[first : first + CHOSEN])})"
            with self._sentences("delete"):
                chosen: dict[str, Any] = {"label_selector": selector, "_request_timeout": TIMEOUT_S}
                self._batch.delete_collection_namespaced_job(
                    self.namespace, propagation_policy="Background", _preload_content=False, **chosen
                )
                self._core.delete_collection_namespaced_pod(self.namespace, _preload_content=False, **chosen)

    def delete_job(self, name: str) -> None:
        """Delete a Job with its pods; nothing happens if it is gone."""
        with self._sentences("delete"):
            self._gone_is_fine(
                lambda: self._batch.delete_namespaced_job(
                    name, self.namespace, propagation_policy="Background", _request_timeout=TIMEOUT_S
                )
            )

    def delete_pod(self, name: str) -> None:
        """Delete a pod; nothing happens if it is gone."""
        with self._sentences("delete"):
            self._gone_is_fine(
                lambda: self._core.delete_namespaced_pod(name, self.namespace, _request_timeout=TIMEOUT_S)
            )

    def _listed(self, call: Any, **chosen: str) -> list[dict[str, Any]]:
        """Read a list page by page, and from its start again when the server has forgotten the next page (410)."""
        with self._sentences("list"):
            for _ in range(RESTARTS):
                try:
                    return self._pages(call, chosen)
                except ApiException as error:
                    if error.status != 410:
                        raise
            return self._pages(call, chosen)

    def _pages(self, call: Any, chosen: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = None
        while True:
            answer = call(
                self.namespace,
                limit=PAGE,
                _continue=token,
                _preload_content=False,
                _request_timeout=TIMEOUT_S,
                **chosen,
            )
            page = json.loads(answer.data)
            found += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return found

    def _gone_is_fine(self, call: Any) -> None:
        try:
            call()
        except ApiException as error:
            if error.status != 404:
                raise

    def _sentences(self, doing: str) -> _Sentences:
        return _Sentences(f"Kubernetes namespace {self.namespace}", doing)


class _Sentences:
    """Turns the client's errors inside the block into one sentence."""

    def __init__(self, where: str, doing: str) -> None:
        self._where, self._doing = where, doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ApiException | urllib3.exceptions.HTTPError | ValueError):  # the last: no JSON
            raise InstanceError(f"{self._where}: cannot {self._doing}: {sentence(error)}") from error


def sentence(error: BaseException) -> str:
    """Describe why a call to the API failed and what to do, without the server's JSON around it."""
    if isinstance(error, urllib3.exceptions.HTTPError):
        reason = getattr(error, "reason", None) or error
        return f"the API server cannot be reached ({_last(reason)}); check its address and the network policies"
    if isinstance(error, ValueError):
        return "its answer is not the API's JSON; look at what stands between here and the API server"
    if not isinstance(error, ApiException):
        return " ".join(str(error).split())[:200]
    message = _message(error)
    match error.status:
        case 401:
            return (
                "the API server does not accept the token (expired or of another cluster); renew the kubeconfig or "
                "Secret"
            )
        case 403 if "exceeded quota" in message:
            return f"{message}; raise the quota of the namespace, or lower max_concurrent_runs"
        case 403 if _NO_RIGHT.search(message):
            return f"{message}; grant it by the Role of deploy/kustomize/rbac/rbac.yaml"
        case 403:
            return f"the API server refused it: {message}"
        case 404:
            return f"{message}; create it, or correct CRYPTO_ASSETS_KUBE_NAMESPACE"
        case 410:
            return "the list changes faster than it can be read; the next try reads it again"
        case 413 | 422:
            return f"{message}; correct the run's Kubernetes configuration"
        case 429:
            return "the API server is too busy (429); the next try may be served"
    return f"the API server answered {error.status}: {message}"


def passes(error: BaseException) -> bool:
    """Whether the same call may be served a little later: the server is away, starts, or is too busy."""
    if isinstance(error, ApiException):
        return error.status in (429, 500, 502, 503, 504)
    return isinstance(error, urllib3.exceptions.HTTPError)


_NO_RIGHT = re.compile(r"cannot \w+ resource")  # the words of the authoriser; other 403s are not about rights


def _is_absent(error: ApiException, name: str) -> bool:
    """Whether the API says that this object does not exist: a proxy's 404, or a starting server's, says nothing of it."""
    try:
        said = json.loads(error.body or "")
    except ValueError:
        return False
    known = isinstance(said, dict) and said.get("reason") == "NotFound"
    return bool(error.status == 404 and known and (said.get("details") or {}).get("name") == name)


class _Retry(urllib3.Retry):
    """The client's retries; a wait that the server asks for (Retry-After) has a limit."""

    def get_retry_after(self, response: Any) -> float | None:
        found = super().get_retry_after(response)
        return None if found is None else min(found, LONGEST_WAIT_S)


def _message(error: ApiException) -> str:
    try:
        found = json.loads(error.body or "{}").get("message")
    except ValueError:
        found = None
    return " ".join(str(found or error.reason).split())[:300]


def _last(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text.rsplit(": ", 1)[-1][:150]


def _configuration(namespace: str) -> kubernetes.client.Configuration:
    """Load the service account's configuration in a pod, else the kubeconfig (``KUBECONFIG``)."""
    found = kubernetes.client.Configuration()
    try:
        if variable("KUBERNETES_SERVICE_HOST") and not variable("KUBECONFIG"):
            kubernetes.config.load_incluster_config(client_configuration=found)
        else:
            path = variable("KUBECONFIG") or "~/.kube/config"
            kubernetes.config.load_kube_config(os.path.expanduser(path), client_configuration=found)
    except (kubernetes.config.ConfigException, OSError, ValueError) as error:
        raise InstanceError(no_configuration(namespace, error)) from error
    if is_loopback(urlsplit(found.host).hostname or ""):
        found.proxy = None
    return found


def no_configuration(namespace: str, error: BaseException) -> str:
    """Build the message for a missing or unusable configuration.

    Args:
        namespace: the namespace that was asked for.
        error: the client's error.

    Returns:
        The sentence, with what to do.
    """
    reason = " ".join(str(error).split())[:150]
    return (
        f"there is no way to the Kubernetes API of namespace {namespace} ({reason}); set KUBECONFIG to a kubeconfig "
        "file, or let the pod mount its service account's token"
    )


def labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the labels of an object."""
    return found["metadata"].get("labels") or {}
