"""What a namespace does not admit although the object is valid: its quota, its pod standard, accounts that do not exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Count = Callable[[], int]
QUOTA = "crypto-quota"
_SECCOMP = ("RuntimeDefault", "Localhost")


@dataclass
class Admission:
    """The rules of one namespace. ``quota``: e.g. ``{"pods": 3}`` or ``{"count/jobs.batch": 1}``."""

    accounts: set[str] = field(default_factory=set)  # ``default`` always exists
    quota: dict[str, int] = field(default_factory=dict)
    restricted: bool = False  # the pod standard of that name

    def refuses_job(self, name: str, jobs: Count) -> str | None:
        """The message of the 403, where so many ``jobs`` exist already."""
        return self._over("count/jobs.batch", jobs, f'jobs.batch "{name}"')

    def refuses_pod(self, name: str, spec: Mapping[str, Any], pods: Count, namespace: str) -> str | None:
        """The message of the 403, where so many ``pods`` exist already."""
        who, account = f'pods "{name}"', spec.get("serviceAccountName", "default")
        if account not in self.accounts | {"default"}:
            found = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            return f"{who} is forbidden: {found}"
        violations = list(_violations(spec)) if self.restricted else []
        if violations:
            return f'{who} is forbidden: violates PodSecurity "restricted:latest": {", ".join(violations)}'
        return self._over("pods", pods, who)

    def _over(self, what: str, count: Count, who: str) -> str | None:
        limit = self.quota.get(what)
        if limit is None or (used := count()) < limit:
            return None
        amounts = f"requested: {what}=1, used: {what}={used}, limited: {what}={limit}"
        return f"{who} is forbidden: exceeded quota: {QUOTA}, {amounts}"


def _violations(spec: Mapping[str, Any]) -> Iterator[str]:
    pod = spec.get("securityContext") or {}
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        own, name = container.get("securityContext") or {}, container["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            must = f'container "{name}" must set securityContext.allowPrivilegeEscalation=false'
            yield f"allowPrivilegeEscalation != false ({must})"
        if (own.get("capabilities") or {}).get("drop") != ["ALL"]:
            must = f'container "{name}" must set securityContext.capabilities.drop=["ALL"]'
            yield f"unrestricted capabilities ({must})"
        if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
            must = f'pod or container "{name}" must set securityContext.runAsNonRoot=true'
            yield f"runAsNonRoot != true ({must})"
        profile = (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type")
        if profile not in _SECCOMP:
            must = f'pod or container "{name}" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
            yield f"seccompProfile ({must})"
