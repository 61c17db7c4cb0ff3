"""What the API server does not accept: the published schema of a Kubernetes version, and the rules that no schema holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from kubernetes.utils.quantity import parse_quantity
from kubernetes_validate import utils
from referencing import Registry, Resource

VERSION = "1.36.0"
SCHEMAS = {"jobs": "job-batch-v1", "pods": "pod-v1"}
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_NAME_RULE = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
Found = tuple[str, str]  # field, what is wrong with it


@cache
def _schema(kind: str) -> Draft202012Validator:
    folder = f"kubernetes-json-schema/v{VERSION}-local-strict"
    wanted, shared = (
        utils.schema_contents(f"{folder}/{name}.json", VERSION) for name in (SCHEMAS[kind], "_definitions")
    )
    return Draft202012Validator(wanted, registry=Resource.from_contents(shared) @ Registry())


def malformed(kind: str, body: Mapping[str, Any]) -> str | None:
    """Why this is no object of its kind: a field that the version does not have, or one of another type (400)."""
    errors = [error for error in _schema(kind).iter_errors(body) if error.validator != "required"]
    worst = best_match(errors)
    return None if worst is None else f"strict decoding error: {worst.json_path}: {worst.message[:200]}"


def invalid(kind: str, body: Mapping[str, Any]) -> str | None:
    """Why the server refuses an object that it can read (422), as it lists the reasons."""
    found = [*_missing(kind, body), *_metadata(body["metadata"])]
    if not found and kind == "jobs":
        found = list(_job(body))
    texts = [f"{field}: {what}" for field, what in found]
    return None if not texts else texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _missing(kind: str, body: Mapping[str, Any]) -> Iterator[Found]:
    for error in _schema(kind).iter_errors(body):
        if error.validator == "required":
            absent = next(name for name in error.validator_value if name not in error.instance)
            yield f"{error.json_path.removeprefix('$.')}.{absent}", "Required value"


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Found]:
    name = metadata.get("name", "")
    if not _SUBDOMAIN.fullmatch(name) or len(name) > 253:
        yield "metadata.name", f'Invalid value: "{name}": {_NAME_RULE}'
    yield from _labels("metadata.labels", metadata.get("labels") or {})


def _labels(field: str, labels: Mapping[str, str]) -> Iterator[Found]:
    for value in labels.values():
        if len(value) > 63:
            yield field, f'Invalid value: "{value}": must be no more than 63 characters'
        elif not _LABEL_VALUE.fullmatch(value):
            yield field, f'Invalid value: "{value}": a valid label must be an empty string or consist of alphanumerics'


def _job(job: Mapping[str, Any]) -> Iterator[Found]:
    name, template = job["metadata"]["name"], job["spec"]["template"]
    if len(name) > 63:  # it is the value of a label of its pods
        yield "spec.template.labels", f'Invalid value: "{name}": must be no more than 63 bytes'
    yield from _labels("spec.template.labels", (template.get("metadata") or {}).get("labels") or {})
    spec, field = template["spec"], "spec.template.spec"
    if spec.get("restartPolicy") not in ("Never", "OnFailure"):
        yield f"{field}.restartPolicy", 'Required value: valid values: "OnFailure", "Never"'
    volumes = [volume["name"] for volume in spec.get("volumes") or ()]
    yield from _twice(f"{field}.volumes", "name", volumes)
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    yield from _twice(f"{field}.containers", "name", [container["name"] for container in containers])
    for number, container in enumerate(spec["containers"]):
        yield from _container(f"{field}.containers[{number}]", container, set(volumes))


def _container(field: str, container: Mapping[str, Any], volumes: set[str]) -> Iterator[Found]:
    if not container.get("image"):
        yield f"{field}.image", "Required value"
    mounts = container.get("volumeMounts") or ()
    for number, mount in enumerate(mounts):
        if mount["name"] not in volumes:
            yield f"{field}.volumeMounts[{number}].name", f'Not found: "{mount["name"]}"'
    paths = [mount["mountPath"] for mount in mounts]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            yield f"{field}.volumeMounts[{number}].mountPath", f'Invalid value: "{path}": must be unique'
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    for what, wanted in (resources.get("requests") or {}).items():
        if what in limits and parse_quantity(wanted) > parse_quantity(limits[what]):
            text = f'Invalid value: "{wanted}": must be less than or equal to {what} limit of {limits[what]}'
            yield f"{field}.resources.requests", text


def _twice(field: str, key: str, names: list[str]) -> Iterator[Found]:
    seen: Counter[str] = Counter()
    for number, name in enumerate(names):
        if seen[name]:
            yield f"{field}[{number}].{key}", f'Duplicate value: "{name}"'
        seen[name] += 1
