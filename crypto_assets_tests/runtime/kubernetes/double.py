"""A Kubernetes API server on loopback for one namespace: takes what dagster-k8s and the janitor send, runs Jobs for real.

Jobs become local processes (``node.py``), the Job controller works (``objects.py``), tokens are service accounts whose
rights are those of the manifests (``rbac.py``). What the real server would refuse is refused in its words.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from crypto_assets_tests.runtime.kubernetes import selectors
from crypto_assets_tests.runtime.kubernetes.node import Node
from crypto_assets_tests.runtime.kubernetes.objects import Object, Store
from crypto_assets_tests.runtime.kubernetes.rbac import Rights
from crypto_assets_tests.runtime.kubernetes.serve import Background

FIELDS = {
    "jobs": {"metadata.name", "metadata.namespace", "status.successful"},
    "pods": {"metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "spec.serviceAccountName"},
    "events": {"metadata.name", "involvedObject.name", "involvedObject.kind", "reason", "type"},
}
KINDS = {"jobs": ("Job", "batch/v1"), "pods": ("Pod", "v1"), "events": ("Event", "v1")}
PAGE_LIMIT = 500  # what a careful client asks for at most; the test fails on unbounded lists over this many


class Refused(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


class Cluster:
    """The API server, its node and its rights, as a context manager. ``calls`` counts (verb, resource)."""

    def __init__(self, folder: Path, namespace: str, rights: Rights, images: set[str]) -> None:
        self.folder, self.namespace, self.rights = folder, namespace, rights
        self.store = Store(Node(folder, images))
        self.node = self.store.node
        self.calls: Counter[tuple[str, str]] = Counter()
        self.tokens = {f"token-of-{account}": account for account in rights.granted}
        base, core = "/apis/batch/v1/namespaces/{ns}/jobs", "/api/v1/namespaces/{ns}"
        routes = [
            Route(base, self._collection("jobs"), methods=["GET", "POST", "DELETE"]),
            Route(f"{base}/{{name}}/status", self._one("jobs"), methods=["GET"]),
            Route(f"{base}/{{name}}", self._one("jobs"), methods=["GET", "DELETE"]),
            Route(f"{core}/pods", self._collection("pods"), methods=["GET", "DELETE"]),
            Route(f"{core}/pods/{{name}}/log", self._log, methods=["GET"]),
            Route(f"{core}/pods/{{name}}", self._one("pods"), methods=["GET", "DELETE"]),
            Route(f"{core}/events", self._collection("events"), methods=["GET"]),
            Route("/version", lambda _: JSONResponse({"major": "1", "minor": "36", "gitVersion": "v1.36.0"})),
        ]
        application = Starlette(routes=routes, exception_handlers={Refused: _status})
        self._server = Background(uvicorn.Config(application, log_level="critical", lifespan="off"))
        self.url = self._server.url
        for account in rights.granted:
            self.node.kubeconfigs[account] = self.kubeconfig(account)

    def kubeconfig(self, account: str, *, token: str | None = None) -> Path:
        """A kubeconfig file with which a process is this service account."""
        path = self.folder / f"kubeconfig-{account}{'' if token is None else '-other'}"
        user = {"token": f"token-of-{account}" if token is None else token}
        context = {"cluster": "double", "user": account, "namespace": self.namespace}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "double", "cluster": {"server": self.url}}],
            "users": [{"name": account, "user": user}],
            "contexts": [{"name": "double", "context": context}],
            "current-context": "double",
        }
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    def __enter__(self) -> Cluster:
        self.store.start()
        self._server.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.__exit__(kind, error, at)
        self.store.close()

    def jobs(self) -> list[Object]:
        with self.store.lock:
            return self.store.all("jobs", self.namespace)

    def pods(self) -> list[Object]:
        with self.store.lock:
            return self.store.all("pods", self.namespace)

    # Requests

    def _admit(self, request: Request, verb: str, resource: str) -> str:
        """Authentication, authorisation, namespace: in the server's order and words."""
        self.calls[verb, resource] += 1
        space = request.path_params["ns"]
        account = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if account is None:
            raise Refused(401, "Unauthorized", "Unauthorized")
        if space != self.namespace or not self.rights.allow(account, verb, resource):
            who = f'User "system:serviceaccount:{self.namespace}:{account}"'
            group = '"batch"' if resource == "jobs" else '""'
            raise Refused(
                403,
                "Forbidden",
                f"{resource} is forbidden: {who} cannot {verb} resource "
                f'"{resource}" in API group {group} in the namespace "{space}"',
            )
        return str(space)

    def _collection(self, kind: str) -> Any:
        async def handle(request: Request) -> Response:
            verb = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}[request.method]
            space = self._admit(request, verb, kind)
            if verb == "create":
                return self._create(kind, space, await request.json())
            query = request.query_params
            try:
                chosen = self._chosen(kind, space, query.get("labelSelector"), query.get("fieldSelector"))
            except ValueError as error:
                raise Refused(400, "BadRequest", str(error)) from error
            if verb == "list":
                with self.store.lock:  # else the Job controller may write into what is just shown
                    return _page(kind, chosen, query.get("limit"), query.get("continue"))
            with self.store.lock:
                for found in chosen:
                    self.store.remove(kind, space, found["metadata"]["name"], cascade=await _cascades(request))
            return JSONResponse({"kind": "Status", "apiVersion": "v1", "status": "Success"})

        return handle

    def _chosen(self, kind: str, space: str, labels: str | None, fields: str | None) -> list[Object]:
        by_label, by_field = selectors.labels(labels), selectors.fields(fields, FIELDS[kind])
        with self.store.lock:
            stored = self.store.events if kind == "events" else self.store.all(kind, space)
            return [o for o in stored if by_label(o["metadata"].get("labels") or {}) and by_field(o)]

    def _create(self, kind: str, space: str, body: Object) -> Response:
        name = body["metadata"]["name"]
        with self.store.lock:
            if (kind, space, name) in self.store.objects:
                raise Refused(409, "AlreadyExists", f'{kind}.batch "{name}" already exists')
            return JSONResponse(_shown(kind, self.store.add(kind, space, body)), 201)

    def _one(self, kind: str) -> Any:
        async def handle(request: Request) -> Response:
            verb = {"GET": "get", "DELETE": "delete"}[request.method]
            resource = f"{kind}/status" if request.url.path.endswith("/status") else kind
            space, name = self._admit(request, verb, resource), request.path_params["name"]
            cascade = verb == "delete" and await _cascades(request)
            with self.store.lock:
                found = self.store.objects.get((kind, space, name))
                if found is None:
                    raise Refused(404, "NotFound", f'{kind} "{name}" not found')
                if verb == "delete":
                    self.store.remove(kind, space, name, cascade=cascade)
                return JSONResponse(_shown(kind, found))

        return handle

    async def _log(self, request: Request) -> Response:
        self._admit(request, "get", "pods/log")
        tail = int(request.query_params.get("tailLines", 10_000))
        lines = self.node.log(request.path_params["name"]).decode(errors="replace").splitlines(keepends=True)
        return PlainTextResponse("".join(lines[-tail:]))


async def _cascades(request: Request) -> bool:
    """Do the pods of a Job go with it? Not by default: that is the batch API's old habit."""
    body = await request.body()
    policy = request.query_params.get("propagationPolicy") or (json.loads(body) if body else {}).get(
        "propagationPolicy"
    )
    return policy in ("Background", "Foreground")


def _page(kind: str, chosen: list[Object], limit: str | None, start: str | None) -> Response:
    first = int(start or 0)
    size = int(limit or 0) or len(chosen)
    page, left = chosen[first : first + size], max(len(chosen) - first - size, 0)
    metadata = {"resourceVersion": "1"} | ({"continue": str(first + size), "remainingItemCount": left} if left else {})
    name, version = KINDS[kind]
    items = [_shown(kind, found) for found in page]
    return JSONResponse({"kind": f"{name}List", "apiVersion": version, "metadata": metadata, "items": items})


def _shown(kind: str, found: Object) -> Object:
    name, version = KINDS[kind]
    status = {
        key: value for key, value in found.get("status", {}).items() if key not in ("finishedAt", "lost", "frozen")
    }
    return {**found, "kind": name, "apiVersion": version, "status": status}


def _status(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": error.code}
    return JSONResponse({**body, "message": str(error), "reason": error.reason}, error.code)
