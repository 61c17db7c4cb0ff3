"""Label and field selectors, as the API server reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_IN = re.compile(r"^(?P<key>\S+)\s+(?P<how>in|notin)\s+\((?P<values>[^)]*)\)$")


def labels(selector: str | None) -> Callable[[Mapping[str, str]], bool]:
    """``a=b,c!=d,e in (f,g),h,!i`` as a predicate over labels. Raises ``ValueError`` for anything else."""
    tests = [_label(part.strip()) for part in re.split(r",(?![^(]*\))", selector or "") if part.strip()]
    return lambda found: all(test(found) for test in tests)


def _label(part: str) -> Callable[[Mapping[str, str]], bool]:
    if matched := _IN.match(part):
        values = {value.strip() for value in matched["values"].split(",")}
        key, wanted = matched["key"], matched["how"] == "in"
        return lambda found: (found.get(key) in values) is wanted
    if "!=" in part:
        key, value = (side.strip() for side in part.split("!="))
        return lambda found: found.get(key) != value
    if "=" in part:
        key, value = (side.strip() for side in re.split("==?", part))
        return lambda found: found.get(key) == value
    if re.fullmatch(r"!?[\w./-]+", part):
        return lambda found: (part.lstrip("!") in found) is not part.startswith("!")
    raise ValueError(f"unable to parse requirement: {part!r}")


def fields(selector: str | None, supported: set[str]) -> Callable[[Mapping[str, Any]], bool]:
    """``metadata.name=x`` as a predicate over objects; fields that the real server does not index are refused."""
    tests = []
    for part in filter(None, (selector or "").split(",")):
        negated = "!=" in part
        path, value = part.split("!=" if negated else "=", 1)
        if path not in supported:
            raise ValueError(f"field label not supported: {path}")
        tests.append((path.split("."), value, negated))

    def matches(found: Mapping[str, Any]) -> bool:
        for steps, value, negated in tests:
            node: Any = found
            for step in steps:
                node = (node or {}).get(step)
            if (str(node if node is not None else "") == value) is negated:
                return False
        return True

    return matches
