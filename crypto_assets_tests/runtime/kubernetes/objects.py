"""The double's Jobs and pods, and the controllers that move them: Job controller, deadline, TTL, garbage collection."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from crypto_assets_tests.runtime.kubernetes.node import Node, stamp

Object = dict[str, Any]
TICK_S = 0.05


class Store:
    """Objects by (kind, namespace, name), in the order of their creation, behind one lock."""

    def __init__(self, node: Node) -> None:
        self.lock = threading.RLock()
        self.node = node
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.events: list[Object] = []
        self.scheduling = True  # False: pods stay pending, as where no node has room
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

    def remove(self, kind: str, namespace: str, name: str, *, cascade: bool = True) -> Object | None:
        found = self.objects.pop((kind, namespace, name), None)
        if found is None:
            return None
        if kind == "pods":
            self.node.stop(found)
        elif cascade:
            for pod in self.pods_of(found):
                self.remove("pods", namespace, pod["metadata"]["name"])
        return found

    def pods_of(self, job: Object) -> list[Object]:
        uid = job["metadata"]["uid"]
        return [
            pod
            for pod in self.all("pods", job["metadata"]["namespace"])
            if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences", ()))
        ]

    def _orphans(self) -> list[Object]:
        """Pods whose Job was deleted without them: they go on."""
        uids = {job["metadata"]["uid"] for (kind, _, _), job in self.objects.items() if kind == "jobs"}
        return [
            pod
            for (kind, _, _), pod in list(self.objects.items())
            if kind == "pods"
            and not any(o["uid"] in uids for o in pod["metadata"].get("ownerReferences", ()))
            and not pod["status"].get("frozen")
        ]

    def event(self, namespace: str, name: str, reason: str, message: str) -> None:
        self.events.append(
            {
                "metadata": {"name": f"{name}.{len(self.events)}", "namespace": namespace},
                "involvedObject": {"name": name},
                "reason": reason,
                "message": message,
                "type": "Warning",
                "count": 1,
            }
        )

    def _live(self) -> None:
        while not self._stopped.wait(TICK_S):
            with self.lock:
                for pod in self._orphans():
                    self._advance(pod)
                for job in [found for (kind, _, _), found in list(self.objects.items()) if kind == "jobs"]:
                    if not job.get("status", {}).get("frozen"):
                        self._reconcile(job)

    def _reconcile(self, job: Object) -> None:
        """What the Job controller and the kubelet do between two ticks."""
        status: Object = job.setdefault("status", {"startTime": stamp()})
        space, name, spec = job["metadata"]["namespace"], job["metadata"]["name"], job["spec"]
        if any(c["status"] == "True" for c in status.get("conditions", ())):
            ttl, finished = spec.get("ttlSecondsAfterFinished"), status["finishedAt"]
            if ttl is not None and time.time() - finished >= ttl:
                self.remove("jobs", space, name)
            return
        pods = self.pods_of(job)
        for pod in pods:
            self._advance(pod)
        phases = [pod["status"]["phase"] for pod in pods]
        failed = status.get("lost", 0) + phases.count("Failed")
        status |= {"active": phases.count("Pending") + phases.count("Running"), "failed": failed}
        status["succeeded"] = phases.count("Succeeded")
        if status["succeeded"]:
            self._finish(job, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        elif failed > spec.get("backoffLimit", 6):
            self._finish(job, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif _age(status["startTime"]) > spec.get("activeDeadlineSeconds", float("inf")):
            for pod in pods:
                self.remove("pods", space, pod["metadata"]["name"])
            status["failed"] = failed + len(pods)
            self._finish(job, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        elif not status["active"]:
            self._make_pod(job)

    def _advance(self, pod: Object) -> None:
        if pod["status"]["phase"] == "Pending" and not pod["spec"].get("nodeName"):
            if self.scheduling:
                pod["spec"]["nodeName"] = "node-1"
                self.node.start(pod)
                self._tell(pod)
        else:
            self.node.poll(pod)

    def _tell(self, pod: Object) -> None:
        waiting = pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})
        if waiting.get("message"):
            self.event(pod["metadata"]["namespace"], pod["metadata"]["name"], "Failed", waiting["message"])

    def _make_pod(self, job: Object) -> None:
        space, name, template = job["metadata"]["namespace"], job["metadata"]["name"], job["spec"]["template"]
        own = {"job-name": name, "batch.kubernetes.io/job-name": name}
        metadata = {
            "name": f"{name[:57]}-{uuid.uuid4().hex[:5]}",
            "labels": {**template.get("metadata", {}).get("labels", {}), **own},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": name,
                    "uid": job["metadata"]["uid"],
                    "controller": True,
                }
            ],
        }
        spec = {**template["spec"]}
        conditions = [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
        ]
        self.add(
            "pods",
            space,
            {"metadata": metadata, "spec": spec, "status": {"phase": "Pending", "conditions": conditions}},
        )
        job["status"]["active"] = 1

    def _finish(self, job: Object, kind: str, reason: str, message: str) -> None:
        job["status"]["active"] = 0
        job["status"]["finishedAt"] = time.time()
        if kind == "Complete":
            job["status"]["completionTime"] = stamp()
        condition = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": stamp(),
        }
        job["status"]["conditions"] = [condition]


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
