"""Requests of the gateway in its log and for Prometheus. No token, header or body is in either."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("crypto_assets.gateway")
BUCKETS = (0.002, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Measured:
    """Counts of a gateway, of all its processes."""

    def __init__(self, counts: Path | None = None) -> None:
        """Begin to count.

        Args:
            counts: the folder where several processes keep their counts; None: there is one process.
        """
        self._counts = counts
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "crypto_assets_gateway_requests_total", "Requests.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "crypto_assets_gateway_request_seconds", "Time until an answer began.", ["route"], buckets=BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        self._rows = Counter("crypto_assets_gateway_rows_total", "Rows given.", ["table"], registry=self._registry)

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log a request, by its route and not by its address, which a client can choose freely."""
        route = getattr(scope.get("route"), "path", "none")
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)
        caller = scope.get("state", {}).get("caller", "-")
        LOG.info("%s %s %d %.1f ms by %s", scope["method"], route, status, seconds * 1000, caller)

    def rows(self, table: str, count: int) -> None:
        """Count rows that were given."""
        self._rows.labels(table).inc(count)

    def page(self) -> tuple[bytes, int, dict[str, str]]:
        """Return body, status and headers of ``/metrics``: the sum of all processes, whichever of them is asked."""
        registry = self._registry
        if self._counts is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._counts))
        return generate_latest(registry), 200, {"Content-Type": CONTENT_TYPE_LATEST}


class Observed:
    """ASGI middleware that measures every request."""

    def __init__(self, app: ASGIApp, measured: Measured) -> None:
        self._app, self._measured = app, measured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on (ASGI's interface)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._measured.request(scope, message["status"], time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, observed_send)
