"""A query parameter without a value is one that is not given: clients send their ``None`` so, httpx among them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class WithoutEmptyParameters:
    """Drops query parameters without a value before anything reads the query."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection as ASGI says."""
        query: bytes = scope.get("query_string", b"")
        if query.endswith(b"=") or b"=&" in query:
            given = (part for part in query.split(b"&") if part.partition(b"=")[2])
            scope = {**scope, "query_string": b"&".join(given)}
        await self._app(scope, receive, send)
