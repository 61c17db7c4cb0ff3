"""Bounds of every request, below the routes: the size of its body, how long a client may take to read; and compression."""

from __future__ import annotations

import asyncio

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto_assets.gateway.problems import Problem

BODY_BYTES = 8 * 1024 * 1024  # about 100,000 entities
STALL_S = 60.0  # a client that reads nothing for this long has gone


class Limits:
    """ASGI middleware with both bounds."""

    def __init__(self, app: ASGIApp, body_bytes: int = BODY_BYTES, stall_s: float = STALL_S) -> None:
        self._app, self._body_bytes, self._stall_s = app, body_bytes, stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on (ASGI's interface)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > self._body_bytes:
            await self._too_large()(scope, receive, send)
            return
        got = 0

        async def bounded_receive() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._body_bytes:
                raise self._problem()
            return message

        async def bounded_send(message: Message) -> None:
            await asyncio.wait_for(send(message), self._stall_s)

        await self._app(scope, bounded_receive, bounded_send)

    def _problem(self) -> Problem:
        return Problem(413, "body-too-large", f"the body is larger than {self._body_bytes:,} bytes; send it in parts")

    def _too_large(self) -> ASGIApp:
        return self._problem().response()


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
