"""Diagnose a pod or a Job in words: plain functions over the API's JSON, without clock or network.

The reasons are Kubernetes' own words. A state that heals within moments (``ContainerCreating``, ``ErrImagePull``, no
node with room) becomes a problem only after ``patience_s``. What is being deleted (``deletionTimestamp``) has its grace to
end (``ending.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a pod or Job.

    Attributes:
        reason: Kubernetes' word.
        sentence: what, why and what to do.
        heals: whether another try may help.
        ends_run: whether the run is over by it. False: it may still work, and a person should look.
    """

    reason: str
    sentence: str
    heals: bool
    ends_run: bool = True


def of_work(
    job: Object, pods: Sequence[Object], events: Sequence[Object], now: datetime, patience_s: float
) -> Problem | None:
    """Find why a Job will never do its work.

    Args:
        job: the Job.
        pods: its pods.
        events: of the namespace; they count only for a Job without a pod.
        now: the current time, UTC.
        patience_s: seconds that a state may take to heal.

    Returns:
        The problem; None while the Job may still work, and while its process has time to report its own end.
    """
    failed = of_job(job)
    if failed is not None and any(_in_grace(pod, now) for pod in pods):
        return None
    if failed is not None and failed.reason == "DeadlineExceeded":  # the end of its pod says less
        return failed
    for pod in pods:
        found = of_pod(pod, now, patience_s)
        if found is not None:
            return found
    if failed is not None or finished_at(job) is not None:
        return failed
    if deleted_at(job) is not None:
        works = any(not _over(pod) for pod in pods)
        return None if works else _deleted(job)
    has_pod = pods or (job.get("status") or {}).get("active")
    return None if has_pod else of_missing_pod(job, events, now, patience_s)


def of_pod(pod: Object, now: datetime, patience_s: float) -> Problem | None:
    """Find why a pod will never do its work.

    Args:
        pod: the pod.
        now: the current time, UTC.
        patience_s: seconds that a state may take to heal.

    Returns:
        The problem; None while the pod may still work.
    """
    if _in_grace(pod, now):
        return None  # the process may still report its own end
    status = pod.get("status") or {}
    age = _age(pod, now)
    old = age > patience_s
    problem = _given_up(pod, status) or _disrupted(pod, status) or _deleted(pod)
    if problem is not None:
        return problem
    for found in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        state = found.get("state") or {}
        problem = _waiting(pod, found, state.get("waiting"), old, age) or _ended(pod, found, state.get("terminated"))
        if problem is not None:
            return problem
    if old and status.get("phase") == "Pending" and not status.get("containerStatuses"):
        return _not_begun(pod, status, age)
    return _silent(pod, status, now, patience_s)


def _given_up(pod: Object, status: Object) -> Problem | None:
    """Find out whether the node ended the pod or refused it: then the pod itself, and no container, has the reason."""
    reason = status.get("reason")
    if not reason or not (reason in _GONE or status.get("phase") == "Failed"):
        return None
    if reason.startswith("OutOf"):
        text = f"{_node(pod)} had too little {reason.removeprefix('OutOf')} left for the pod"
    else:
        text = _GONE.get(reason) or f"{_node(pod)} refused the pod ({reason})"
    message = _short(status.get("message")) or "no message"
    return Problem(reason, f"{text} ({message}); it may run again elsewhere", True)


def _disrupted(pod: Object, status: Object) -> Problem | None:
    """Find out whether the cluster itself ended the pod, when the pod is over or its grace is."""
    said = condition(status, "DisruptionTarget")
    if not (_over(pod) or deleted_at(pod)) or said is None or status.get("phase") == "Succeeded":
        return None
    reason = str(said.get("reason"))
    text = _DISRUPTIONS.get(reason, "the cluster ended the pod").format(node=_node(pod))
    return Problem(reason, f"{text} ({_short(said.get('message')) or reason}); it may run again elsewhere", True)


def _deleted(found: Object) -> Problem | None:
    ending = deleted_at(found)
    if ending is None or (found.get("status") or {}).get("phase") == "Succeeded":
        return None
    what = "pod" if "containers" in (found.get("spec") or {}) else "Job"
    text = f"the {what} was deleted at {ending:%H:%M:%S} UTC, by a person or a controller; the run may be tried again"
    return Problem("Deleted", text, True)


def _in_grace(pod: Object, now: datetime) -> bool:
    ending = deleted_at(pod)
    return ending is not None and now <= ending and not _over(pod)


def _over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def _not_begun(pod: Object, status: Object, age: float) -> Problem:
    """Name who is late with a pod that has no container yet: the scheduler, or the kubelet of its node."""
    if (pod.get("spec") or {}).get("nodeName"):
        text = f"the kubelet of {_node(pod)} has not taken the pod up within {age:.0f} s"
        return Problem("KubeletSilent", f"{text}; look at the node with kubectl describe node", True)
    words = [_short(c.get("message")) for c in status.get("conditions") or () if c.get("type") == "PodScheduled"]
    why = f" ({words[0]})" if words and words[0] else ""
    text = f"no node took the pod within {age:.0f} s{why}; add a node, or lower the requests of its assets"
    return Problem("Unschedulable", text, True)


def _silent(pod: Object, status: Object, now: datetime, patience_s: float) -> Problem | None:
    """Find out whether the node of a running pod is out of reach: the cluster then takes back that the pod is ready.

    The process may still work, so this does not end its run. After some minutes the cluster deletes the pod.
    """
    statuses = status.get("containerStatuses") or ()
    said = condition(status, "Ready", "False", "Unknown")
    since = time_of(said.get("lastTransitionTime")) if said else None
    runs = statuses and all(found.get("ready") and (found.get("state") or {}).get("running") for found in statuses)
    if status.get("phase") != "Running" or not runs or not since or (now - since).total_seconds() <= patience_s:
        return None
    text = f"{_node(pod)} has not reported about the pod since {since:%H:%M:%S} UTC"
    advice = "look at the node with kubectl describe node; the cluster deletes the pod if the node stays away"
    return Problem("NodeSilent", f"{text}; {advice}", True, ends_run=False)


def of_missing_pod(job: Object, events: Sequence[Object], now: datetime, patience_s: float) -> Problem | None:
    """Find why a Job without a pod has none.

    Args:
        job: a Job that goes on and has no pod.
        events: events of the namespace, at least those about this Job.
        now: the current time, UTC.
        patience_s: seconds that a state may take to heal.

    Returns:
        The problem; None while a pod may still come.
    """
    uid, age = job["metadata"].get("uid"), _age(job, now)
    mine = [
        e for e in events if (e.get("involvedObject") or {}).get("uid") == uid and e.get("reason") == "FailedCreate"
    ]
    if not mine:
        text = f"the Job has had no pod for {age:.0f} s and no event says why; look at it with kubectl describe job"
        return Problem("NoPod", text, True) if age > patience_s else None
    said = _short(max(mine, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or "")).get("message"))
    for words, advice, heals in _REFUSALS:
        if words in said:
            return Problem("FailedCreate", f"the pod cannot be created: {said}; {advice}", heals)
    if age <= patience_s:  # e.g. a webhook that does not answer: the cluster tries again
        return None
    return Problem("FailedCreate", f"no pod could be created within {age:.0f} s: {said}; do what it says", True)


def of_job(job: Object) -> Problem | None:
    """Find why a Job failed, as far as the Job itself says it.

    Args:
        job: the Job.

    Returns:
        The problem; None if it did not fail.
    """
    status = job.get("status") or {}
    said = condition(status, "Failed") or condition(status, "FailureTarget")  # the second while its pods still end
    if said is None:
        return None
    if said.get("reason") == "DeadlineExceeded":
        limit = (job.get("spec") or {}).get("activeDeadlineSeconds")
        took = f" of {limit} s" if limit else ""
        return Problem(
            "DeadlineExceeded",
            f"the Job ran into its deadline{took} (active_deadline_seconds); raise it, or ask for fewer days a run",
            True,
        )
    if said.get("reason") == "PodFailurePolicy":  # the rule of deploy/: its pod is gone, the Job says this much
        text = "the cluster took the pod away: its node was drained, lost or shut down, or a more important pod came"
        return Problem("Disrupted", f"{text} ({_short(said.get('message'))}); it may run again elsewhere", True)
    return Problem("Error", f"the Job failed ({_short(said.get('message'))})", True)


def finished_at(job: Object) -> datetime | None:
    """Return when the Job completed or failed, in UTC; None while it may go on."""
    status = job.get("status") or {}
    said = condition(status, "Complete") or condition(status, "Failed")
    return time_of(said.get("lastTransitionTime") or status.get("completionTime")) if said else None


def deleted_at(found: Object) -> datetime | None:
    """Return when an object that is being deleted should be gone, in UTC; None if it is not being deleted."""
    return time_of(found["metadata"].get("deletionTimestamp"))


def condition(status: Object, kind: str, *values: str) -> Object | None:
    """Find a condition.

    Args:
        status: the status of a pod or Job.
        kind: its type.
        values: its statuses; by default ``True``.

    Returns:
        The condition; None without one.
    """
    wanted = values or ("True",)
    found = (c for c in status.get("conditions") or () if c.get("type") == kind and c.get("status") in wanted)
    return next(found, None)


_GONE = {
    "Evicted": "the node evicted the pod",
    "Preempting": "a pod of higher priority took the place of this one",
    "NodeLost": "the pod's node was lost",
    "NodeShutdown": "the pod's node was shut down",
    "Shutdown": "the pod's node was shut down",
    "Terminated": "the pod's node was shut down",
}
_DISRUPTIONS = {
    "EvictionByEvictionAPI": "{node} was drained, or something else evicted the pod",
    "DeletionByTaintManager": "{node} was lost or tainted, and the cluster deleted the pod",
    "DeletionByPodGC": "{node} is gone, and the pod with it",
    "PreemptionByScheduler": "a pod of higher priority took the place of this one",
    "TerminationByKubelet": "{node} was shut down or short of something and ended the pod",
}
_REFUSALS = (  # words of the API server, what to do, whether it heals
    ("exceeded quota", "raise the quota of the namespace, or lower max_concurrent_runs", True),
    ("error looking up service account", "apply deploy/kustomize/rbac/rbac.yaml", False),
    ("violates PodSecurity", "take the security context of deploy/kustomize/base/dagster.yaml", False),
    ("denied the request", "change what the admission webhook refuses, or the webhook", False),
    ("is forbidden", "allow the pod, or change what is refused", False),
    ("is invalid", "correct the run's Kubernetes configuration", False),
)
_CONFIGURE = "create the Secret, ConfigMap or key that it names"


def _waiting(pod: Object, found: Object, waiting: Object | None, old: bool, age: float) -> Problem | None:
    if not waiting:
        return None
    reason, message, image = str(waiting.get("reason")), _short(waiting.get("message")), _image(pod, found)
    why = f" ({message})" if message else ""
    match reason:
        case "ErrImageNeverPull":
            text = (
                f"image {image} is not on the node and its policy is Never; push it to a registry and pull IfNotPresent"
            )
        case "ImagePullBackOff" | "InvalidImageName":
            text = f"image {image} cannot be pulled{why}; correct its name and tag, or give the pull secret"
        case "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError":
            text = f"container {found.get('name')} cannot be made{why}; {_CONFIGURE}"
        case "CrashLoopBackOff":
            code = ((found.get("lastState") or {}).get("terminated") or {}).get("exitCode", "unknown")
            text = f"container {found.get('name')} ends as soon as it starts (exit code {code}); read its log"
        case "ErrImagePull" if old:
            text = f"image {image} cannot be pulled{why}; correct its name and tag, or give the pull secret"
        case _ if old:
            text = (
                f"container {found.get('name')} has not started within {age:.0f} s ({reason}); look at the "
                "volumes, secrets and network of its node with kubectl describe pod"
            )
            return Problem("StartHangs", text, True)
        case _:
            return None
    return Problem(reason, text, False)


def _ended(pod: Object, found: Object, terminated: Object | None) -> Problem | None:
    if not terminated or not terminated.get("exitCode"):
        return None
    code, name = terminated["exitCode"], found.get("name")
    if terminated.get("reason") == "OOMKilled":
        limit = _limit(pod, name)
        text = f"container {name} used more memory than its limit{limit} and was killed"
        return Problem("OOMKilled", f"{text}; raise the limit of its assets, or ask for fewer days a run", True)
    if code == 137:
        return Problem("Killed", f"the process of container {name} was killed from outside (exit code 137)", True)
    return Problem("Error", f"the process of container {name} ended with exit code {code}; read its log", True)


def _image(pod: Object, found: Object) -> str:
    return str(next((c["image"] for c in _containers(pod) if c["name"] == found.get("name")), found.get("image")))


def _limit(pod: Object, name: str | None) -> str:
    for container in _containers(pod):
        if container["name"] == name:
            limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
            return f" of {limit}" if limit else ""
    return ""


def _containers(pod: Object) -> list[Object]:
    spec = pod.get("spec") or {}
    return [*spec.get("initContainers", ()), *spec.get("containers", ())]


def _node(pod: Object) -> str:
    return f"node {(pod.get('spec') or {}).get('nodeName', 'unknown')}"


def _age(found: Object, now: datetime) -> float:
    made = time_of(found["metadata"].get("creationTimestamp"))
    return (now - made).total_seconds() if made else 0.0


def time_of(text: str | None) -> datetime | None:
    """Return an instant as the API writes it, in UTC; None for no text."""
    return None if not text else datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _short(text: Any) -> str:
    return " ".join(str(text or "").split())[:300]
