"""What an API server refuses in a pod although the schema allows it, and what the ``restricted`` pod standard refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
HANDLERS = {"exec", "grpc", "httpGet", "tcpSocket"}


def without_nulls(value: Any) -> Any:
    """A manifest as the server reads it: a field that is null is absent."""
    if isinstance(value, dict):
        return {key: without_nulls(kept) for key, kept in value.items() if kept is not None}
    return [without_nulls(kept) for kept in value] if isinstance(value, list) else value


def refused(spec: Document) -> list[str]:
    """The reasons for which a server refuses the spec of a pod; empty for a good one."""
    everyone = [*spec.get("initContainers", ()), *spec["containers"]]
    volumes = [volume["name"] for volume in spec.get("volumes", ())]
    found = [f"two volumes are named {name}" for name in _twice(volumes)]
    found += [f"two containers are named {name}" for name in _twice([c["name"] for c in everyone])]
    for container in everyone:
        mounts = container.get("volumeMounts", ())
        found += [f"two mounts at {path}" for path in _twice([mount["mountPath"] for mount in mounts])]
        found += [f"no volume is named {m['name']}" for m in mounts if m["name"] not in volumes]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            handlers = HANDLERS & container.get(probe, {}).keys()
            if probe in container and len(handlers) != 1:
                found.append(f"{probe} has the handlers {sorted(handlers)}")
        found += _not_restricted(container, spec.get("securityContext", {}))
    return found


def _twice(names: list[str]) -> Iterator[str]:
    return (name for name in sorted(set(names)) if names.count(name) > 1)


def _not_restricted(container: Document, pod: Document) -> Iterator[str]:
    own = container.get("securityContext", {})
    if not (pod | own).get("runAsNonRoot"):
        yield f"{container['name']} may run as root"
    if (pod | own).get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{container['name']} has no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{container['name']} may gain privileges"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{container['name']} has the capabilities {own.get('capabilities')}"
    ports = [port["containerPort"] for port in container.get("ports", ())]
    yield from (
        f"{container['name']} listens on port {port}, which needs a capability" for port in ports if port < 1024
    )
