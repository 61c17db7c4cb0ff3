"""Inject faults: ``route=klines,status=503,rate=0.2;route=*,delay=1`` (rules separated by ``;``, options by ``,``).

A rate limit is also a rule: ``route=/api/v3,limit=500,window=60`` answers 429 to every call beyond 500 in any 60
seconds. Refused calls count as well, as they do at CoinGecko.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections import deque
from dataclasses import dataclass, field, fields
from typing import Any

from starlette.responses import JSONResponse, Response

from crypto_assets.errors import UsageError


@dataclass
class Rule:
    """One fault: the route (a part of its path, or ``*``), how often, for how many requests, and what happens."""

    route: str = "*"
    rate: float = 1.0
    count: int = -1  # only the first K matching requests; -1: all
    status: int = 0
    retry_after: int = -1
    html: int = 0  # 1: HTML instead of JSON (with ``status`` or 200)
    delay: float = 0.0
    cut: int = 0  # 1: the body is cut off in the middle
    malformed: int = 0  # 1: not JSON
    duplicate: int = 0  # 1: every row of a list twice
    gap: int = 0  # n: every n-th row of a list is dropped
    empty: int = 0  # 1: an empty list
    limit: int = 0  # n: more than n requests in any ``window`` seconds are answered 429
    window: float = 60.0
    arrivals: deque[float] = field(default_factory=deque)
    nonsense: int = 0  # 1: a model's answer has the right types but values out of bounds


def parse(spec: str | None) -> list[Rule]:
    """Read rules.

    Args:
        spec: the rules as text; None for none.

    Returns:
        The rules.

    Raises:
        UsageError: an option is unknown, or a value is not a number.
    """
    rules = []
    known = {f.name: f.type for f in fields(Rule) if f.name != "arrivals"}
    for part in filter(None, (p.strip() for p in (spec or "").split(";"))):
        rule = Rule()
        for option in part.split(","):
            name, equals, value = (text.strip() for text in option.partition("="))
            if name not in known or not equals:
                raise UsageError(f"--fault option {option!r} is unknown; choose from {', '.join(known)}")
            try:
                setattr(
                    rule,
                    name,
                    value if name == "route" else float(value) if name in ("rate", "delay", "window") else int(value),
                )
            except ValueError as error:
                raise UsageError(f"--fault {name}={value!r} is not a number") from error
        _check(rule)
        rules.append(rule)
    return rules


def _check(rule: Rule) -> None:
    sensible = {
        "rate": 0 <= rule.rate <= 1,
        "delay": 0 <= rule.delay < float("inf"),
        "status": rule.status == 0 or 200 <= rule.status <= 599,
        "gap": rule.gap >= 0,
        "limit": rule.limit >= 0,
        "window": 0 < rule.window < float("inf"),
    }
    for name, good in sensible.items():
        if not good:
            raise UsageError(f"--fault {name}={getattr(rule, name)} makes no sense; see the README")


class Faults:
    """Applies rules to responses; the seed decides which requests are hit."""

    def __init__(self, rules: list[Rule], seed: int) -> None:
        self.rules = rules
        self._random = random.Random(seed)
        self.refused = 0

    def refusal(self, path: str) -> Response | None:
        """Check the rate limits when a request arrives.

        Args:
            path: the path of the request.

        Returns:
            The 429; None if the request is within the limits.
        """
        now = time.monotonic()
        for rule in self.rules:
            if not rule.limit or (rule.route != "*" and rule.route not in path):
                continue
            while rule.arrivals and rule.arrivals[0] <= now - rule.window:
                rule.arrivals.popleft()
            rule.arrivals.append(now)
            if len(rule.arrivals) > rule.limit:
                self.refused += 1
                wait = str(math.ceil(rule.arrivals[-rule.limit] + rule.window - now))
                error = {"status": {"error_code": 429, "error_message": f"more than {rule.limit} calls"}}
                return JSONResponse(error, 429, {"Retry-After": wait})
        return None

    async def apply(self, path: str, response: Response) -> Response:
        """Apply the rules to a response.

        Args:
            path: the path of the request.
            response: the correct response.

        Returns:
            The response with its faults.
        """
        for rule in self.rules:
            if (rule.route != "*" and rule.route not in path) or rule.count == 0 or self._random.random() >= rule.rate:
                continue
            rule.count -= rule.count > 0
            if rule.delay:
                await asyncio.sleep(rule.delay)
            response = _broken(rule, response)
        return response


def _broken(rule: Rule, response: Response) -> Response:
    if rule.html:
        return Response("<html><body>Attention required</body></html>", rule.status or 200, media_type="text/html")
    if rule.status:
        headers = {"Retry-After": str(rule.retry_after)} if rule.retry_after >= 0 else {}
        error = json.dumps({"status": {"error_code": rule.status, "error_message": "injected fault"}})
        return Response(error, rule.status, headers, "application/json")
    body = bytes(response.body)
    if rule.malformed:
        return Response(body[: len(body) // 2], response.status_code, media_type="application/json")
    if rule.cut:
        response.body = body[: len(body) // 2]  # Content-Length still has the full length
        return response
    if rule.nonsense:
        return _nonsense(response, body)
    if rule.duplicate or rule.gap or rule.empty:
        try:
            changed = json.dumps(_rows(json.loads(body), rule)).encode()
        except ValueError:
            return response  # feeds are not JSON, and their rows stay as they are
        mark = {k: v for k, v in response.headers.items() if k.lower().startswith("x-")}
        return Response(changed, response.status_code, mark, "application/json")
    return response


def _nonsense(response: Response, body: bytes) -> Response:
    """Put numbers far out of bounds into the JSON of a chat message; anything else stays as it is."""
    try:
        answer = json.loads(body)
        said = json.loads(answer["message"]["content"])
    except (ValueError, KeyError, TypeError):
        return response
    wild = {name: 41.5 if isinstance(value, int | float) else value for name, value in said.items()}
    answer["message"]["content"] = json.dumps(wild)
    return Response(json.dumps(answer), response.status_code, media_type="application/json")


def _rows(body: Any, rule: Rule) -> Any:
    """Double, drop or remove rows in every list of rows, and keep the shape."""
    if isinstance(body, dict):
        return {name: _rows(value, rule) if isinstance(value, list | dict) else value for name, value in body.items()}
    if not isinstance(body, list) or not all(isinstance(row, list | dict) for row in body):
        return body
    if rule.empty:
        return []
    if rule.gap:
        body = [row for n, row in enumerate(body) if n % rule.gap]
    return [row for row in body for _ in range(2 if rule.duplicate else 1)]
