"""A Kubernetes API server on loopback for one namespace: takes what dagster-k8s and the janitor send, runs Jobs for real.

Jobs become local processes (``node.py``), the controllers work (``objects.py``), tokens are service accounts whose rights
are those of the manifests (``rbac.py``). What the real server would refuse is refused in its words: an object that its
schema or its rules do not allow (``validation.py``), and one that the namespace does not admit (``admission.py``).
"""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from crypto_assets_tests.runtime.kubernetes import selectors, validation
from crypto_assets_tests.runtime.kubernetes.node import Node
from crypto_assets_tests.runtime.kubernetes.objects import Object, Store
from crypto_assets_tests.runtime.kubernetes.rbac import Rights
from crypto_assets_tests.runtime.kubernetes.serve import Background

FIELDS = {
    "jobs": {"metadata.name", "metadata.namespace", "status.successful"},
    "pods": {"metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "spec.serviceAccountName"},
    "events": {
        "metadata.name",
        "involvedObject.name",
        "involvedObject.kind",
        "involvedObject.uid",
        "reason",
        "type",
    },
}
KINDS = {"jobs": ("Job", "batch/v1"), "pods": ("Pod", "v1"), "events": ("Event", "v1")}
EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)
BUSY = "Too many requests, please try again later."


class Refused(Exception):
    def __init__(self, code: int, reason: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason
        self.headers: dict[str, str] = more.pop("headers", {})
        self.more = more


@dataclass
class Fault:
    """Answers that the server gives in place of its own, ``times`` times."""

    code: int
    reason: str
    message: str
    times: int = 1
    verbs: frozenset[str] | None = None  # None: every verb
    headers: Mapping[str, str] = field(default_factory=dict)


class Cluster:
    """The API server, its node and its rights, as a context manager. ``calls`` counts (verb, resource)."""

    def __init__(self, folder: Path, namespace: str, rights: Rights, images: set[str]) -> None:
        self.folder, self.namespace, self.rights = folder, namespace, rights
        self.store = Store(Node(folder, images))
        self.node = self.store.node
        self.calls: Counter[tuple[str, str]] = Counter()
        self.tokens = {f"token-of-{account}": account for account in rights.granted}
        self.store.admission.accounts |= rights.granted.keys()
        self.faults: list[Fault] = []
        self.expire_next = 0  # so many continue tokens from now on are too old
        self._rests: dict[str, tuple[str, list[Object]]] = {}  # continue token -> the rest of its list as it was
        self._tokens = itertools.count(1)
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

    @contextmanager
    def away(self, *, silent: bool = False) -> Iterator[None]:
        """Nothing listens at the server's address, or (``silent``) nothing answers there; the node's processes go on."""
        self._server.__exit__(None, None, None)
        try:
            with self._server.deaf() if silent else nullcontext():
                yield
        finally:
            self._server.__enter__()

    def busy(self, times: int, after_s: int, *verbs: str) -> None:
        """The next requests are answered with 429 and Retry-After."""
        headers = {"Retry-After": str(after_s)}
        self.faults.append(Fault(429, "TooManyRequests", BUSY, times, frozenset(verbs) or None, headers))

    def fail(self, code: int, reason: str, message: str, times: int, *verbs: str) -> None:
        """The next requests are answered with this error."""
        self.faults.append(Fault(code, reason, message, times, frozenset(verbs) or None))

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
        for fault in self.faults:
            if fault.times and (fault.verbs is None or verb in fault.verbs):
                fault.times -= 1
                raise Refused(fault.code, fault.reason, fault.message, headers=dict(fault.headers))
        return str(space)

    def _collection(self, kind: str) -> Any:
        async def handle(request: Request) -> Response:
            verb = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}[request.method]
            query = request.query_params
            space = self._admit(request, verb, kind)
            if verb == "create":
                return self._create(kind, space, await request.json())
            if query.get("continue"):
                return self._next_page(kind, query["continue"], query.get("limit"))
            options = await _options(request)
            with self.store.lock:  # else the controllers may write into what is just shown
                try:
                    chosen = self._chosen(kind, space, query.get("labelSelector"), query.get("fieldSelector"))
                except ValueError as error:
                    raise Refused(400, "BadRequest", str(error)) from error
                if verb == "list":
                    return self._page(kind, [_shown(kind, found) for found in chosen], query.get("limit"))
                for found in chosen:
                    self._delete(kind, found, options)
            return JSONResponse({"kind": "Status", "apiVersion": "v1", "status": "Success"})

        return handle

    def _chosen(self, kind: str, space: str, labels: str | None, fields: str | None) -> list[Object]:
        by_label, by_field = selectors.labels(labels), selectors.fields(fields, FIELDS[kind])
        with self.store.lock:
            stored = self.store.events if kind == "events" else self.store.all(kind, space)
            return [o for o in stored if by_label(o["metadata"].get("labels") or {}) and by_field(o)]

    def _page(self, kind: str, left: list[Object], limit: str | None) -> Response:
        size = int(limit or 0) or len(left)
        page, rest = left[:size], left[size:]
        metadata: Object = {"resourceVersion": "1"}
        if rest:
            token = f"token-{next(self._tokens)}"
            self._rests[token] = (kind, rest)
            metadata |= {"continue": token, "remainingItemCount": len(rest)}
        name, version = KINDS[kind]
        return JSONResponse({"kind": f"{name}List", "apiVersion": version, "metadata": metadata, "items": page})

    def _next_page(self, kind: str, token: str, limit: str | None) -> Response:
        known, rest = self._rests.pop(token, ("", []))
        if known != kind:
            raise Refused(400, "BadRequest", f"continue key is not valid: {token}")
        if self.expire_next:
            self.expire_next -= 1
            raise Refused(410, "Expired", EXPIRED)
        return self._page(kind, rest, limit)

    def _create(self, kind: str, space: str, body: Object) -> Response:
        return JSONResponse(_shown(kind, self.create(kind, space, body)), 201)

    def create(self, kind: str, space: str, body: Object) -> Object:
        """Store an object if the server takes it; raises ``Refused``."""
        if (text := validation.malformed(kind, body)) is not None:
            raise Refused(400, "BadRequest", text)
        name = body["metadata"].get("name", "")
        if (text := validation.invalid(kind, body)) is not None:
            raise Refused(422, "Invalid", f'{KINDS[kind][0]}.batch "{name}" is invalid: {text}')
        with self.store.lock:
            known = self.store.objects.get((kind, space, name))
            if known is not None and "deletionTimestamp" in known["metadata"]:
                raise Refused(409, "AlreadyExists", f'object is being deleted: {kind}.batch "{name}" already exists')
            if known is not None:
                raise Refused(409, "AlreadyExists", f'{kind}.batch "{name}" already exists')
            refused = self.store.admission.refuses_job(name, lambda: len(self.store.all(kind, space)))
            if refused is not None:
                raise Refused(403, "Forbidden", refused)
            return self.store.add(kind, space, body)

    def _one(self, kind: str) -> Any:
        async def handle(request: Request) -> Response:
            verb = {"GET": "get", "DELETE": "delete"}[request.method]
            resource = f"{kind}/status" if request.url.path.endswith("/status") else kind
            space, name = self._admit(request, verb, resource), request.path_params["name"]
            options = await _options(request)
            with self.store.lock:
                found = self.store.objects.get((kind, space, name))
                if found is None:
                    what = f"{kind}.batch" if kind == "jobs" else kind
                    raise Refused(404, "NotFound", f'{what} "{name}" not found', details={"name": name, "kind": what})
                if verb == "delete":
                    self._delete(kind, found, options)
                return JSONResponse(_shown(kind, found))

        return handle

    def _delete(self, kind: str, found: Object, options: Mapping[str, Any]) -> None:
        wanted, own = (options.get("preconditions") or {}).get("uid"), found["metadata"]["uid"]
        if wanted not in (None, own):
            name = found["metadata"]["name"]
            text = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {own}"
            raise Refused(409, "Conflict", f'Operation cannot be fulfilled on {kind} "{name}": {text}')
        if kind == "jobs":
            self.store.delete_job(found, options.get("propagationPolicy") or "Orphan")  # the batch API's old habit
        else:
            grace = options.get("gracePeriodSeconds")
            self.store.delete_pod(found, None if grace is None else int(grace))

    async def _log(self, request: Request) -> Response:
        self._admit(request, "get", "pods/log")
        tail = int(request.query_params.get("tailLines", 10_000))
        lines = self.node.log(request.path_params["name"]).decode(errors="replace").splitlines(keepends=True)
        return PlainTextResponse("".join(lines[-tail:]))


async def _options(request: Request) -> dict[str, Any]:
    """What a DELETE says of how: in its body or in the address."""
    body = await request.body()
    return {**dict(request.query_params), **(json.loads(body) if body else {})}


def _shown(kind: str, found: Object) -> Object:
    """A copy, without what only the double keeps there."""
    name, version = KINDS[kind]
    shown = copy.deepcopy({key: value for key, value in found.items() if key != "status"})
    status = {key: value for key, value in found.get("status", {}).items() if key not in ("finishedAt", "frozen")}
    return {**shown, "kind": name, "apiVersion": version, "status": copy.deepcopy(status)}


def _status(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": error.code, **error.more}
    return JSONResponse({**body, "message": str(error), "reason": error.reason}, error.code, headers=error.headers)
