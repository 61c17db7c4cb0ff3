"""Diagnose a pod or a Job in words: plain functions over the API's JSON, without clock or network.

The reasons are Kubernetes' own words. A state that heals within moments (``ContainerCreating``, ``ErrImagePull``, no
node with room) becomes a problem only after ``patience_s``.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    reason: str
    sentence: str
    heals: bool


def of_pod(pod: Object, now: datetime, patience_s: float) -> Problem | None:
    """Find why a pod will never do its work.

    Args:
        pod: the pod.
        now: the current time, UTC.
        patience_s: seconds that a state may take to heal.

    Returns:
        The problem; None while the pod may still work.
    """
    status = pod.get("status") or {}
    if status.get("reason") in _GONE:
        message = _short(status.get("message")) or "no message"
        return Problem(status["reason"], f"{_GONE[status['reason']]} ({message}); it may run again elsewhere", True)
    age = _age(pod, now)
    old = age > patience_s
    for found in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        state = found.get("state") or {}
        problem = _waiting(pod, found, state.get("waiting"), old, age) or _ended(pod, found, state.get("terminated"))
        if problem is not None:
            return problem
    if old and status.get("phase") == "Pending" and not status.get("containerStatuses"):
        words = [c.get("message") for c in status.get("conditions", ()) if c.get("reason") == "Unschedulable"]
        why = f" ({_short(words[0])})" if words else ""
        return Problem(
            "Unschedulable",
            f"no node took the pod within {age:.0f} s{why}; add a node, or lower the requests of its assets",
            True,
        )
    return None


def of_job(job: Object) -> Problem | None:
    """Find why a Job failed, as far as the Job itself says it.

    Args:
        job: the Job.

    Returns:
        The problem; None if it did not fail.
    """
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") != "Failed" or condition.get("status") != "True":
            continue
        if condition.get("reason") == "DeadlineExceeded":
            limit = (job.get("spec") or {}).get("activeDeadlineSeconds")
            took = f" of {limit} s" if limit else ""
            return Problem(
                "DeadlineExceeded",
                f"the Job ran into its deadline{took} (active_deadline_seconds); raise it, or ask for fewer days a run",
                True,
            )
        return Problem("Error", f"the Job failed ({_short(condition.get('message'))})", True)
    return None


def finished_at(job: Object) -> datetime | None:
    """Return when the Job completed or failed, in UTC; None while it may go on."""
    status = job.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return _time(condition.get("lastTransitionTime") or status.get("completionTime"))
    return None


_GONE = {
    "Evicted": "the node evicted the pod",
    "Preempting": "a pod of higher priority took the place of this one",
    "NodeLost": "the pod's node was lost",
    "NodeShutdown": "the pod's node was shut down",
    "Shutdown": "the pod's node was shut down",
    "Terminated": "the pod's node was shut down",
}
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


def _age(pod: Object, now: datetime) -> float:
    made = _time(pod["metadata"].get("creationTimestamp"))
    return (now - made).total_seconds() if made else 0.0


def _time(text: str | None) -> datetime | None:
    return None if not text else datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _short(text: Any) -> str:
    return " ".join(str(text or "").split())[:200]
