"""The double's objects and what moves them: the Job controller, deletion in grace, the collectors of garbage and of time."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from crypto_assets_tests.runtime.kubernetes.admission import Admission
from crypto_assets_tests.runtime.kubernetes.node import Node, stamp

Object = dict[str, Any]
TICK_S = 0.05
RETRY_S = 0.5  # the real controller waits longer each time
TRACKED = "batch.kubernetes.io/job-tracking"  # holds a pod until the Job controller has counted its end
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
GRACE_S = 30


class Store:
    """Objects by (kind, namespace, name), in the order of their creation, behind one lock."""

    def __init__(self, node: Node) -> None:
        self.lock = threading.RLock()
        self.node = node
        self.admission = Admission()
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.events: list[Object] = []
        self.scheduling = True  # False: pods stay pending, as where no node has room
        self._counted: dict[str, dict[str, str]] = {}  # of a Job: the pods whose end it has counted, and their phase
        self._refused: dict[str, float] = {}  # of a Job: when its pod was last refused
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join(10)
        self.node.close()

    def all(self, kind: str, namespace: str) -> list[Object]:
        return [found for (k, space, _), found in list(self.objects.items()) if (k, space) == (kind, namespace)]

    def add(self, kind: str, namespace: str, body: Object) -> Object:
        metadata = body.setdefault("metadata", {})
        metadata |= {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        self.objects[kind, namespace, metadata["name"]] = body
        return body

    def pods_of(self, job: Object) -> list[Object]:
        uid = job["metadata"]["uid"]
        return [
            pod
            for pod in self.all("pods", job["metadata"]["namespace"])
            if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences", ()))
        ]

    # Deletion: an object goes when its grace is over and no finalizer holds it; until then it is Terminating.

    def delete_job(self, job: Object, policy: str) -> None:
        """``policy``: Background, Foreground, or Orphan (the batch API's default)."""
        metadata = job["metadata"]
        held = metadata.setdefault("finalizers", [])
        if "deletionTimestamp" not in metadata:
            metadata |= {"deletionTimestamp": stamp(), "deletionGracePeriodSeconds": 0}
            held += {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(policy, [])
        if not held:
            self._drop("jobs", job)

    def delete_pod(self, pod: Object, grace_s: int | None = None) -> None:
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
        if grace_s is None:
            grace_s = spec.get("terminationGracePeriodSeconds", GRACE_S)
        if not spec.get("nodeName") or status.get("phase") in ("Failed", "Succeeded"):
            grace_s = 0  # no kubelet has anything to end
        if "deletionTimestamp" not in metadata:
            until = datetime.now(timezone.utc) + timedelta(seconds=grace_s)
            metadata |= {"deletionTimestamp": stamp(until), "deletionGracePeriodSeconds": grace_s}
        if grace_s:
            self.node.stop(pod)
        elif not metadata.get("finalizers"):
            self._drop("pods", pod)

    def evict(self, name: str, reason: str, message: str) -> None:
        """What the eviction API and the taint manager do: the pod says why, and is deleted."""
        with self.lock:
            pod = next(found for found in self.objects.values() if found["metadata"]["name"] == name)
            condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
            pod["status"].setdefault("conditions", []).append({**condition, "lastTransitionTime": stamp()})
            self.delete_pod(pod)

    def release(self, job: Object, finalizer: str) -> None:
        """The holder of a finalizer lets go."""
        with self.lock:
            job["metadata"]["finalizers"].remove(finalizer)

    def _drop(self, kind: str, found: Object) -> None:
        metadata = found["metadata"]
        self.objects.pop((kind, metadata["namespace"], metadata["name"]), None)
        if kind == "pods":
            self.node.stop(found, now=True)

    def _collect(self) -> None:
        """The garbage collector, and the kubelet's last word about pods that it has ended."""
        jobs = {found["metadata"]["uid"]: found for (kind, _, _), found in self.objects.items() if kind == "jobs"}
        for pod in [found for (kind, _, _), found in list(self.objects.items()) if kind == "pods"]:
            owners = [owner["uid"] for owner in pod["metadata"].get("ownerReferences", ())]
            if owners and not any(uid in jobs for uid in owners):  # its Job is gone
                self._let_go(pod)
                if "deletionTimestamp" not in pod["metadata"]:
                    self.delete_pod(pod)
            ended = pod["status"]["phase"] in ("Failed", "Succeeded") or not pod["spec"].get("nodeName")
            if "deletionTimestamp" in pod["metadata"] and ended and not pod["metadata"].get("finalizers"):
                self._drop("pods", pod)
        for job in jobs.values():
            if "deletionTimestamp" in job["metadata"]:
                self._collect_job(job)

    def _collect_job(self, job: Object) -> None:
        held, pods = job["metadata"]["finalizers"], self.pods_of(job)
        for pod in pods:
            self._let_go(pod)
        if ORPHAN in held:
            for pod in pods:
                pod["metadata"]["ownerReferences"] = []
            held.remove(ORPHAN)
        if FOREGROUND in held:
            for pod in pods:
                if "deletionTimestamp" not in pod["metadata"]:
                    self.delete_pod(pod)
            if not pods:
                held.remove(FOREGROUND)
        if not held:
            self._drop("jobs", job)

    def _let_go(self, pod: Object) -> None:
        if TRACKED in pod["metadata"].get("finalizers", ()):
            pod["metadata"]["finalizers"].remove(TRACKED)

    # Controllers

    def event(self, kind: str, about: Object, reason: str, message: str) -> None:
        """A warning; said again it is counted, as the server does."""
        metadata = about["metadata"]
        who = {"kind": kind, "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
        for known in self.events:
            if (known["involvedObject"], known["reason"], known["message"]) == (who, reason, message):
                known |= {"count": known["count"] + 1, "lastTimestamp": stamp()}
                return
        name = {"name": f"{metadata['name']}.{len(self.events)}", "namespace": metadata["namespace"]}
        times = {"firstTimestamp": stamp(), "lastTimestamp": stamp(), "count": 1}
        said = {"reason": reason, "message": message, "type": "Warning"}
        self.events.append({"metadata": name, "involvedObject": who, **said, **times})

    def _live(self) -> None:
        while not self._stopped.wait(TICK_S):
            with self.lock:
                for (kind, _, _), found in list(self.objects.items()):
                    if found.get("status", {}).get("frozen"):
                        continue
                    if kind == "pods":
                        self._advance(found)
                    elif "deletionTimestamp" not in found["metadata"]:
                        self._reconcile(found)
                self._collect()

    def _reconcile(self, job: Object) -> None:
        """What the Job controller does between two ticks."""
        status: Object = job.setdefault("status", {"startTime": stamp()})
        said = {c["type"]: c for c in status.get("conditions", ()) if c["status"] == "True"}
        if "Complete" in said or "Failed" in said:
            ttl = job["spec"].get("ttlSecondsAfterFinished")
            if ttl is not None and time.time() - status["finishedAt"] >= ttl:
                self.delete_job(job, "Foreground")
            return
        pods = self.pods_of(job)
        living = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
        active = [pod for pod in living if "deletionTimestamp" not in pod["metadata"]]
        disrupted = _disrupted(job, pods)
        ends = self._count(job, pods)
        status |= {"active": len(active), "terminating": len(living) - len(active)}
        status |= {"failed": ends.count("Failed"), "succeeded": ends.count("Succeeded")}
        if "FailureTarget" in said:
            for pod in active:
                self.delete_pod(pod)
            if not living:
                self._say(job, "Failed", said["FailureTarget"]["reason"], said["FailureTarget"]["message"])
        elif status["succeeded"]:
            self._say(job, "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
            self._say(job, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        elif disrupted is not None:
            self._say(job, "FailureTarget", "PodFailurePolicy", disrupted)
        elif status["failed"] > job["spec"].get("backoffLimit", 6):
            text = "Job has reached the specified backoff limit"
            self._say(job, "FailureTarget", "BackoffLimitExceeded", text)
        elif _age(status["startTime"]) > job["spec"].get("activeDeadlineSeconds", float("inf")):
            self._say(job, "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
        elif not active and not ("podFailurePolicy" in job["spec"] and living):
            self._make_pod(job)

    def _count(self, job: Object, pods: list[Object]) -> list[str]:
        """How the Job's pods ended. Without a failure policy a pod that is being deleted counts as failed at once."""
        counted = self._counted.setdefault(job["metadata"]["uid"], {})
        for pod in pods:
            phase = pod["status"]["phase"]
            if phase in ("Failed", "Succeeded"):
                counted.setdefault(pod["metadata"]["uid"], phase)
                self._let_go(pod)
            elif "deletionTimestamp" in pod["metadata"] and "podFailurePolicy" not in job["spec"]:
                counted.setdefault(pod["metadata"]["uid"], "Failed")
        return list(counted.values())

    def _advance(self, pod: Object) -> None:
        if pod["status"]["phase"] == "Pending" and not pod["spec"].get("nodeName"):
            if self.scheduling and "deletionTimestamp" not in pod["metadata"]:
                pod["spec"]["nodeName"] = "node-1"
                scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()}
                pod["status"]["conditions"] = [scheduled]
        elif "startTime" not in pod["status"]:
            if not self.node.silent:
                self.node.start(pod)
                self._tell(pod)
        else:
            self.node.poll(pod)

    def _tell(self, pod: Object) -> None:
        waiting = pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})
        if waiting.get("message"):
            self.event("Pod", pod, "Failed", waiting["message"])

    def _make_pod(self, job: Object) -> None:
        metadata, template = job["metadata"], job["spec"]["template"]
        space, name = metadata["namespace"], metadata["name"]
        if time.monotonic() - self._refused.get(metadata["uid"], -RETRY_S) < RETRY_S:
            return
        refused = self.admission.refuses_pod(
            f"{name}-", template["spec"], lambda: len(self.all("pods", space)), namespace=space
        )
        if refused is not None:
            self._refused[metadata["uid"]] = time.monotonic()
            self.event("Job", job, "FailedCreate", f"Error creating: {refused}")
            return
        own = {"job-name": name, "batch.kubernetes.io/job-name": name}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": metadata["uid"]}
        made = {
            "name": f"{name[:57]}-{uuid.uuid4().hex[:5]}",
            "labels": {**(template.get("metadata") or {}).get("labels", {}), **own},
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
            "finalizers": [TRACKED],
        }
        waits = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available",
        }
        status = {"phase": "Pending", "conditions": [waits]}
        self.add("pods", space, {"metadata": made, "spec": {**template["spec"]}, "status": status})
        job["status"]["active"] = 1

    def _say(self, job: Object, kind: str, reason: str, message: str) -> None:
        status = job["status"]
        said = {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": stamp()}
        status["conditions"] = [*status.get("conditions", ()), said]
        if kind in ("Complete", "Failed"):
            status |= {"active": 0, "finishedAt": time.time()}
        if kind == "Complete":
            status["completionTime"] = stamp()


def _disrupted(job: Object, pods: list[Object]) -> str | None:
    """The message of the failure policy that deploy/ uses: FailJob for a failed pod with the condition DisruptionTarget."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", ())):
        wanted = {pattern["type"] for pattern in rule.get("onPodConditions") or ()}
        for pod in pods:
            said = {c["type"] for c in pod["status"].get("conditions", ()) if c["status"] == "True"}
            if pod["status"]["phase"] == "Failed" and wanted & said:
                name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                text = (
                    f"Pod {name} has condition {(wanted & said).pop()} matching {rule['action']} rule at index {number}"
                )
                return text
    return None


def _age(started: str) -> float:
    began = datetime.fromisoformat(started.replace("Z", "+00:00"))
    return (datetime.now(timezone.utc) - began).total_seconds()


def wait_for(condition: Callable[[], Any], seconds: float = 60, step: float = 0.1) -> Any:
    """The first true value of the condition. Raises ``TimeoutError``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(step)
    raise TimeoutError(f"not within {seconds} s: {condition}")
