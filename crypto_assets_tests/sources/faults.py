"""Every fault that a provider can commit: what to send instead of a good answer, and what came of it."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd

from crypto_assets.errors import SourceError
from crypto_assets.sandbox.server import PREFIXES
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets_tests.ports import free_port
from crypto_assets_tests.sources.fault_providers import FEED, ITEMS, MIDNIGHT, Route
from crypto_assets_tests.sources.wire_server import Reply, Request, serve

Answer = Callable[[Request], Any]
CAP = 1_000_000  # bytes, of these tests' client


def _reset(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def _short(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{")


def _slow(handler: Any) -> None:
    time.sleep(1.5)


def _hang_up(handler: Any) -> None:
    handler.connection.close()


# What waiting can mend, by itself.
HEALING: dict[str, Reply] = {
    "HTTP 408": Reply({"error": "no"}, 408),
    "HTTP 429 with Retry-After": Reply({"error": "slow down"}, 429, {"Retry-After": "0"}),
    "HTTP 429 without Retry-After": Reply({"error": "slow down"}, 429),
    "HTTP 500": Reply({"error": "no"}, 500),
    "HTTP 502 with HTML": Reply(b"<html>Bad gateway</html>", 502),
    "HTTP 503": Reply({"error": "no"}, 503),
    "the connection closed without an answer": Reply(_hang_up),
    "a reset in the middle of the body": Reply(_reset),
    "a body shorter than announced": Reply(_short),
    "a body that is no gzip": Reply(b"plain", 200, {"Content-Encoding": "gzip"}),
    "a read time-out": Reply(_slow),
}
# What the next attempt would find as it is.
PERMANENT: dict[str, Reply] = {
    **{f"HTTP {code}": Reply({"error": "no"}, code) for code in (400, 401, 403, 404)},
    "HTTP 429 that asks for an hour": Reply({"error": "slow down"}, 429, {"Retry-After": "3600"}),
    "HTTP 200 with HTML": Reply(b"<html>Attention required</html>"),
    "a redirect to another host": Reply(b"", 302, {"Location": "http://localhost:9/elsewhere"}),
    "a redirect without an address": Reply(b"", 302),
    "a gzip bomb": Reply(gzip.compress(b" " * 3 * CAP), 200, {"Content-Encoding": "gzip"}),
    "a body over the size cap": Reply(b" " * 3 * CAP),
}

Edit = Callable[[Route, Any], Any]


def _cell(value: Any) -> Edit:
    """The value of the second row (or the only one) replaced; as text where the provider writes numbers as text."""

    def edit(route: Route, body: Any) -> Any:
        row = _row(route, body)
        row[route.value] = str(value) if isinstance(row[route.value], str) else value
        return body

    return edit


def _literal(value: float) -> Edit:
    """The value of that row as JSON's neighbours write what is no number: without quotes, so that it is no JSON."""

    def edit(route: Route, body: Any) -> Any:
        _row(route, body)[route.value] = value
        return body

    return edit


def _row(route: Route, body: Any) -> Any:
    rows = route.rows(body)
    return rows[min(1, len(rows) - 1)]


def _remove(route: Route, body: Any) -> Any:
    del _row(route, body)[route.value]
    return body


def _rows(change: Callable[[Route, list[Any]], list[Any]]) -> Edit:
    def edit(route: Route, body: Any) -> Any:
        rows = route.rows(body)
        if not isinstance(body, dict) or rows is not body.get("community_data"):
            rows[:] = change(route, rows)
        return body

    return edit


def _backwards(route: Route, rows: list[Any]) -> list[Any]:
    return [*rows[-2::-1], rows[-1]] if route.name.startswith("kraken") else rows[::-1]  # the last is in progress there


def _far(route: Route, rows: list[Any]) -> list[Any]:
    extra = copy.deepcopy(rows[0])
    stamp = extra[route.time]
    if isinstance(stamp, str) and not stamp.isdigit():
        extra[route.time] = stamp.replace("2024-", "2023-", 1)
    else:
        moved = int(stamp) - 86400 * 200 * route.unit
        extra[route.time] = str(moved) if isinstance(stamp, str) else moved
    return [extra, *rows]


def _other_unit(route: Route, body: Any) -> Any:
    """Seconds where milliseconds are documented, and the other way round; seconds where an ISO time is."""
    for row in route.rows(body):
        stamp = row[route.time]
        if isinstance(stamp, str) and not stamp.isdigit():
            row[route.time] = str(MIDNIGHT)
        else:
            number = int(stamp) // 1000 if route.unit == 1000 else int(stamp) * 1000
            row[route.time] = str(number) if isinstance(stamp, str) else number
    return body


def _emptied(route: Route, body: Any) -> Any:
    if route.table == "social_metrics":
        return {**body, "community_data": [], "developer_data": []}
    route.rows(body).clear()
    return body


EDITS: dict[str, Edit] = {
    "another JSON type": lambda route, body: "text" if isinstance(body, list) else [1, "text"],
    "an empty list": _emptied,
    "a missing field": _remove,
    "text where a number belongs": _cell("abc"),
    "a number too large for a float": _cell("1e999"),
    "NaN": _literal(float("nan")),
    "Infinity": _literal(float("-inf")),
    "a negative value": _cell(-5),
    "a zero where it cannot be": _cell(0),
    "rows twice": _rows(lambda route, rows: [row for row in rows for _ in range(2)]),
    "rows out of order": _rows(_backwards),
}
TIMED: dict[str, Edit] = {
    "rows outside the window": _rows(_far),
    "seconds for milliseconds or the reverse": _other_unit,
}
TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "truncated JSON": lambda body: body[: len(body) // 2],
}
UP, DOWN = ITEMS
FEEDS: dict[str, bytes] = {
    "another JSON type": b'{"not": "a feed"}',
    "an empty list": FEED % b"",
    "a missing field": FEED % (UP.replace(b"<title>Bitcoin up</title>", b"") + DOWN),
    "text where a number belongs": FEED % (UP.replace(b"Tue, 02 Jan 2024 03:00:00 GMT", b"yesterday") + DOWN),
    "rows twice": FEED % (UP + DOWN + UP),
    "rows out of order": FEED % (DOWN + UP),
    "rows outside the window": FEED % (UP + DOWN + UP.replace(b"2024", b"2023").replace(b"/up", b"/old")),
    "truncated JSON": (FEED % (UP + DOWN))[:-90],
}


@dataclass(frozen=True)
class Outcome:
    """``frame`` where the fetch succeeded, ``error`` where it failed; requests by path and query: equal ones are retries."""

    frame: pd.DataFrame | None
    error: SourceError | None
    requests: Counter[str]

    @property
    def retried(self) -> bool:
        return max(self.requests.values(), default=0) > 1

    def words(self, good: pd.DataFrame) -> str:
        if self.error is not None:
            return (
                "refused after retries" if self.retried else "refused at once" if self.requests else "refused, unasked"
            )
        assert self.frame is not None
        if self.frame.reset_index(drop=True).equals(good.reset_index(drop=True)):
            return "healed by a retry" if self.retried else "the same rows"
        if len(self.frame) < len(good):
            return "the other rows" if len(self.frame) else "no row"
        return "the rows, the value null"


def run(
    route: Route, answer: Answer, base: str | None = None, read_timeout: float = 20, connect_timeout: float = 20
) -> Outcome:
    """Fetch from a server that answers so, in at most two attempts; from another address with ``base``."""
    with serve(answer) as server:
        settings = server.settings(**route.env)
        if base is not None:
            elsewhere = {**dict.fromkeys(PREFIXES, base), "NEWS_FEEDS": f"one={base}/one.xml"}
            settings = Settings.from_env({**route.env, **elsewhere})

        async def go() -> Fetched:
            async with Client(
                max_attempts=2,
                backoff=0.01,
                max_bytes=CAP,
                read_timeout=read_timeout,
                connect_timeout=connect_timeout,
            ) as client:
                return await route.fetch(client, settings)

        def asked() -> Counter[str]:
            return Counter(f"{request.path}?{sorted(request.query.items())}" for request in server.requests)

        try:
            frame = asyncio.run(go()).frame
        except SourceError as error:
            return Outcome(None, error, asked())
        return Outcome(frame, None, asked())


def good_answer(route: Route) -> Answer:
    return lambda request: route.wire(request, route.good(request))


def edited(route: Route, edit: Edit) -> Answer:
    """The good rows with the fault in them; an error status among the good answers (no such file) stays as it is."""

    def answer(request: Request) -> Any:
        body = copy.deepcopy(route.good(request))
        return body if isinstance(body, Reply) else route.wire(request, edit(route, body))

    return answer


def as_text(route: Route, change: Callable[[bytes], bytes]) -> Answer:
    def answer(request: Request) -> Any:
        body = route.wire(request, route.good(request))
        if isinstance(body, Reply):
            return body
        return Reply(change(body if isinstance(body, bytes) else json.dumps(body).encode()))

    return answer


def once(route: Route, reply: Reply) -> Answer:
    """The fault for the first request to each path, then the good answer."""
    seen: set[str] = set()
    good = good_answer(route)

    def answer(request: Request) -> Any:
        if request.path in seen:
            return good(request)
        seen.add(request.path)
        return reply

    return answer


@contextmanager
def deaf() -> Iterator[str]:
    """An address whose queue of connections is full: connecting there takes for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(address)
            waiting.append(one)
        yield f"http://127.0.0.1:{address[1]}"
        for one in waiting:
            one.close()


def closed() -> str:
    return f"http://127.0.0.1:{free_port()}"
