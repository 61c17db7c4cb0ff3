"""The double's node: turns pods into local processes and their fates into the statuses that a kubelet would report."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from crypto_assets_tests import warm

Pod = dict[str, Any]
GRACE_S = 5.0  # between TERM and KILL, where a real pod has its terminationGracePeriodSeconds
KEPT_ENV = ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONPATH")


def stamp(at: datetime | None = None) -> str:
    """An instant (now) as the API writes it."""
    return (at or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Node:
    """Images that are on the node or can be pulled, config maps and secrets, and the processes of running pods."""

    def __init__(self, folder: Path, images: set[str]) -> None:
        self.folder = folder
        self.images = images
        self.local: set[str] = set()  # pulled: what policy Never needs
        self.config_maps: dict[str, dict[str, str]] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.kubeconfigs: dict[str, Path] = {}  # of a service account
        self.hang_next = 0  # so many pods from now on never leave ContainerCreating
        self.refuse_next: list[tuple[str, str]] = []  # reason and message with which the kubelet refuses its next pods
        self.silent = False  # True: the kubelet neither starts nor ends anything, nor says what became of its pods
        self._processes: dict[str, subprocess.Popen[bytes] | warm.Process] = {}
        self._doomed: dict[str, dict[str, Any]] = {}  # pod -> the status that its end will have
        self._ending: dict[str, float] = {}  # pod -> when its process is killed

    # What the kubelet does

    def start(self, pod: Pod) -> None:
        """Bring a pod that was bound to this node to its first status."""
        container = pod["spec"]["containers"][0]
        image, policy = container["image"], container.get("imagePullPolicy", "IfNotPresent")
        scheduled = pod["status"].get("conditions", [])
        pod["status"] = {"phase": "Pending", "startTime": stamp(), "conditions": scheduled}
        if self.refuse_next:
            reason, message = self.refuse_next.pop(0)
            pod["status"] |= {"phase": "Failed", "reason": reason, "message": message}
        elif self.hang_next:
            self.hang_next -= 1
            self._waiting(pod, "ContainerCreating", None)
        elif policy == "Never" and image not in self.local:
            self._waiting(
                pod, "ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never'
            )
        elif image not in self.images | self.local:
            self._waiting(pod, "ErrImagePull", f'failed to pull and unpack image "{image}": not found')
        else:
            try:
                env = self._environment(pod, container)
            except LookupError as missing:
                self._waiting(pod, "CreateContainerConfigError", str(missing.args[0]))
                return
            self._run(pod, container, env)

    def poll(self, pod: Pod) -> None:
        """Let time pass for one pod."""
        if self.silent:
            return
        name = pod["metadata"]["name"]
        state = (pod["status"].get("containerStatuses") or [{}])[0].get("state", {})
        if state.get("waiting", {}).get("reason") == "ErrImagePull":
            image = pod["spec"]["containers"][0]["image"]
            self._waiting(pod, "ImagePullBackOff", f'Back-off pulling image "{image}"')
        process = self._processes.get(name)
        if process is None:
            if "deletionTimestamp" in pod["metadata"] and pod["status"]["phase"] == "Pending":
                pod["status"]["phase"] = "Failed"  # it never ran, so there is nothing to wait for
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._end(name, process)
        if (code := process.poll()) is None:
            return
        del self._processes[name]
        self._ending.pop(name, None)
        doom = self._doomed.pop(name, {})
        code = 128 - code if code < 0 else code
        reason = doom.pop("container_reason", "Completed" if code == 0 else "Error")
        ended = {"exitCode": code, "reason": reason, "finishedAt": stamp(), "startedAt": pod["status"]["startTime"]}
        pod["status"] |= {"phase": "Succeeded" if code == 0 else "Failed", **doom}
        self._container(pod, {"terminated": ended})

    def stop(self, pod: Pod, *, now: bool = False) -> None:
        """Deletion: TERM, and KILL after a grace (``poll``). ``now``: the process must be gone when this returns."""
        name = pod["metadata"]["name"]
        process = self._processes.get(name)
        if process is None or (self.silent and not now):
            return
        if now:
            del self._processes[name]
            _signal(process, signal.SIGKILL)
            process.wait()
        else:
            self._end(name, process)

    def _end(self, name: str, process: subprocess.Popen[bytes] | warm.Process) -> None:
        if name not in self._ending:
            self._ending[name] = time.monotonic() + GRACE_S
            _signal(process, signal.SIGTERM)
        elif time.monotonic() > self._ending[name]:
            _signal(process, signal.SIGKILL)

    # What befalls pods

    def out_of_memory(self, name: str) -> None:
        self._doomed[name] = {"container_reason": "OOMKilled"}
        self.kill(name)

    def evict(self, name: str) -> None:
        message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 12Mi."
        why = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}
        self._doomed[name] = {"reason": "Evicted", "message": message, "conditions": [why]}
        self.kill(name)

    def kill(self, name: str) -> None:
        os.killpg(self._processes[name].pid, signal.SIGKILL)

    def running(self) -> list[str]:
        # Of a copy: while one of them is asked how it is, the thread of the store may start another.
        return [name for name, process in list(self._processes.items()) if process.poll() is None]

    def log(self, name: str) -> bytes:
        path = self.folder / f"{name}.log"
        return path.read_bytes() if path.exists() else b""

    def close(self) -> None:
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        for process in self._processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()

    def _run(self, pod: Pod, container: Mapping[str, Any], env: dict[str, str]) -> None:
        name = pod["metadata"]["name"]
        command = [*container.get("command", []), *container.get("args", [])]
        with (self.folder / f"{name}.log").open("wb") as log:
            if command[0] == "dagster":  # what the image has on its PATH
                self._processes[name] = warm.start(env, "-m", *command, stdout=log, stderr=log, start_new_session=True)
            else:
                self._processes[name] = subprocess.Popen(
                    command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        self.local.add(container["image"])
        pod["status"]["phase"] = "Running"
        self._container(pod, {"running": {"startedAt": stamp()}})

    def _environment(self, pod: Pod, container: Mapping[str, Any]) -> dict[str, str]:
        env = {name: os.environ[name] for name in KEPT_ENV if name in os.environ}
        account = pod["spec"].get("serviceAccountName", "default")
        if account in self.kubeconfigs:
            env["KUBECONFIG"] = str(self.kubeconfigs[account])
        env["HOSTNAME"] = pod["metadata"]["name"]
        for source in container.get("envFrom", []):
            for kind, stored in (("configMapRef", self.config_maps), ("secretRef", self.secrets)):
                if kind in source:
                    name = source[kind]["name"]
                    if name not in stored:
                        raise LookupError(f'{kind.removesuffix("Ref").lower()} "{name}" not found')
                    env |= stored[name]
        for entry in container.get("env", []):
            wanted = (entry.get("valueFrom") or {}).get("secretKeyRef")
            if wanted is None:
                env[entry["name"]] = entry.get("value", "")
                continue
            if wanted["name"] not in self.secrets:
                raise LookupError(f'secret "{wanted["name"]}" not found')
            if wanted["key"] not in self.secrets[wanted["name"]]:
                where = f"{pod['metadata']['namespace']}/{wanted['name']}"
                raise LookupError(f"couldn't find key {wanted['key']} in Secret {where}")
            env[entry["name"]] = self.secrets[wanted["name"]][wanted["key"]]
        return env

    def _waiting(self, pod: Pod, reason: str, message: str | None) -> None:
        self._container(pod, {"waiting": {"reason": reason, **({"message": message} if message else {})}})

    def _container(self, pod: Pod, state: dict[str, Any]) -> None:
        container = pod["spec"]["containers"][0]
        pod["status"]["containerStatuses"] = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": "running" in state,
                "restartCount": 0,
                "state": state,
            }
        ]


def _signal(process: subprocess.Popen[bytes] | warm.Process, number: signal.Signals) -> None:
    """To the group, as a container's end reaches all its processes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
