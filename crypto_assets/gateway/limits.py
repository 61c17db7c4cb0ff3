"""Bounds of every request, below the routes: how many at once, the size of head and body, the time of a body; and compression."""

from __future__ import annotations

import asyncio
import time

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto_assets.gateway.connections import HEAD_BYTES
from crypto_assets.gateway.problems import Problem

BODY_BYTES = 8 * 1024 * 1024  # about 100,000 entities
BODY_S = 60.0  # for the whole of a body
AT_ONCE = 1_000  # requests that are under way; further ones are refused, not kept waiting
PROBES = ("/healthz",)  # always answered: a busy gateway is alive


class Limits:
    """ASGI middleware with these bounds."""

    def __init__(
        self, app: ASGIApp, body_bytes: int = BODY_BYTES, body_s: float = BODY_S, at_once: int = AT_ONCE
    ) -> None:
        self._app, self._body_bytes, self._body_s, self._at_once = app, body_bytes, body_s, at_once
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on (ASGI's interface)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if problem := self._refusal(scope):
            await problem.response()(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, self._bounded(receive), send)
        finally:
            self._under_way -= 1

    def _refusal(self, scope: Scope) -> Problem | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
            return Problem(431, "head-too-large", f"the headers are larger than {HEAD_BYTES:,} bytes; send less")
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > self._body_bytes:
            return self._too_large()
        if self._under_way >= self._at_once and scope["path"] not in PROBES:
            return Problem(
                503, "too-busy", f"{self._at_once:,} requests are under way; ask again later", {"Retry-After": "2"}
            )
        return None

    def _bounded(self, receive: Receive) -> Receive:
        got, whole = 0, False
        until = time.monotonic() + self._body_s

        async def bounded_receive() -> Message:
            nonlocal got, whole
            if whole:  # what comes now is only the end of the connection
                return await receive()
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise Problem(
                    408, "body-too-late", f"the body did not come within {self._body_s:.0f} s; send it again"
                ) from None
            got += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if got > self._body_bytes:
                raise self._too_large()
            return message

        return bounded_receive

    def _too_large(self) -> Problem:
        return Problem(413, "body-too-large", f"the body is larger than {self._body_bytes:,} bytes; send it in parts")


class Compressed:
    """ASGI middleware that compresses JSON and CSV for clients that accept gzip.

    Parquet is compressed by itself, and Arrow is asked for to be fast: gzip would cost more than it saves.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(app, minimum_size=2_000, compresslevel=1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on (ASGI's interface)."""
        accepted = next((value for name, value in scope.get("headers", ()) if name == b"accept"), b"")
        await (self._app if b"vnd.apache" in accepted else self._gzip)(scope, receive, send)
