"""Who may do what: the Roles and RoleBindings of the manifests, and the ledger of what was really asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Right = tuple[str, str]  # verb, resource (sub-resources as pods/log)


@dataclass
class Rights:
    """Service account -> the (verb, resource) pairs that its Roles grant in one namespace."""

    granted: dict[str, set[Right]] = field(default_factory=dict)
    used: dict[str, set[Right]] = field(default_factory=dict)
    refused: dict[str, set[Right]] = field(default_factory=dict)

    @classmethod
    def from_manifests(cls, documents: Iterable[Mapping[str, Any]]) -> Rights:
        found = cls()
        documents = list(documents)
        roles = {d["metadata"]["name"]: d["rules"] for d in documents if d["kind"] == "Role"}
        for binding in (d for d in documents if d["kind"] == "RoleBinding"):
            pairs = {
                (verb, resource)
                for rule in roles[binding["roleRef"]["name"]]
                for verb in rule["verbs"]
                for resource in rule["resources"]
            }
            for subject in binding["subjects"]:
                found.granted.setdefault(subject["name"], set()).update(pairs)
        return found

    def allow(self, account: str, verb: str, resource: str) -> bool:
        """May it? And remember that it was asked."""
        ok = (verb, resource) in self.granted.get(account, set())
        (self.used if ok else self.refused).setdefault(account, set()).add((verb, resource))
        return ok
