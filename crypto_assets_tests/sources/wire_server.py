"""A real HTTP server on 127.0.0.1 for the tests of the daily sources: a function answers, every request is kept."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from crypto_assets.sandbox.server import PREFIXES
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client

T = TypeVar("T")


@dataclass
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Reply:
    """``body``: bytes as they are, a callable to write to the connection itself, anything else as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    url: str
    requests: list[Request]
    clients: set[object] = field(default_factory=set)  # the connections that asked

    def settings(self, **env: str) -> Settings:
        base = {name: f"{self.url}{prefix}" for name, prefix in PREFIXES.items()}
        return Settings.from_env({**base, "NEWS_FEEDS": f"one={self.url}/one.xml", **env})


@contextmanager
def serve(answer: Callable[[Request], Any]) -> Iterator[Server]:
    """``answer`` gives a :class:`Reply`, or just its body."""
    seen: list[Request] = []
    clients: set[object] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            request = Request(unquote(parts.path), query, {k.lower(): v for k, v in self.headers.items()})
            seen.append(request)
            clients.add(self.client_address)
            reply = answer(request)
            reply = reply if isinstance(reply, Reply) else Reply(reply)
            if callable(reply.body):  # speaks for itself, broken HTTP included
                reply.body(self)
                self.close_connection = True
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that hangs up is part of these tests

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", seen, clients)
    finally:
        server.shutdown()
        server.server_close()


def fetch(call: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Client(max_attempts=2, backoff=0.01) as client:
            return await call(client)

    return asyncio.run(run())


def shared(*parts: str) -> Path:
    """A recorded file; the test skips where the folder of recordings is absent."""
    root = Path(os.environ.get("CRYPTO_ASSETS_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no recordings: {'/'.join(parts)} is not in CRYPTO_ASSETS_SHARED or a sibling folder 'shared'")
    return path
