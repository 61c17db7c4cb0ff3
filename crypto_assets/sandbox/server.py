"""The sandbox as a server: in a thread for the demo and tests, in the foreground for ``crypto-assets sandbox``."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto_assets.errors import InstanceError
from crypto_assets.sandbox import derivatives, macro, network, others, prices, snapshots
from crypto_assets.sandbox.faults import Faults, parse
from crypto_assets.sandbox.generator import Generator
from crypto_assets.sandbox.llm import LanguageModel, Rule
from crypto_assets.sandbox.llm import routes as model_routes
from crypto_assets.sandbox.market import Backend
from crypto_assets.sandbox.replay import Replay
from crypto_assets.sandbox.smollm2 import SmolLM2
from crypto_assets.sources.client.http import SANDBOX_HEADER

HOST = "127.0.0.1"
START_S = 10.0
LOG_BYTES = 10_000_000  # of the file that is written and of the one before it
# Variable -> the prefix under which the sandbox serves this provider's routes.
PREFIXES = {
    "COINGECKO_BASE_URL": "/api/v3",
    "COINMETRICS_BASE_URL": "/v4",
    "KRAKEN_BASE_URL": "/0/public",
    "BINANCE_BASE_URL": "/binance/api/v3",
    "BINANCE_FUTURES_BASE_URL": "/binance-futures",
    "BINANCE_ARCHIVE_BASE_URL": "/binance-archive",
    "BYBIT_BASE_URL": "/bybit",
    "DERIBIT_BASE_URL": "/deribit",
    "BLOCKCHAIN_BASE_URL": "/blockchain",
    "MEMPOOL_BASE_URL": "/mempool",
    "FRED_BASE_URL": "/fred",
    "CBOE_BASE_URL": "/cboe",
    "NYFED_BASE_URL": "/nyfed",
    "TREASURY_BASE_URL": "/treasury",
    "ECB_BASE_URL": "/ecb",
    "DEFILLAMA_BASE_URL": "",
    "FEAR_GREED_BASE_URL": "",
}


class _Marked:
    """Counts and logs requests, marks responses as the sandbox's, and applies faults to complete bodies."""

    def __init__(
        self, app: ASGIApp, backend: Backend, faults: Faults, hits: Counter[str], log: logging.Handler | None
    ) -> None:
        self._app, self._backend, self._faults, self._hits, self._log = app, backend, faults, hits, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._hits[scope["path"]] += 1
        self._note(scope)
        if (refused := self._faults.refusal(scope["path"])) is not None:
            await refused(scope, receive, send)
            return
        start: Message = {}
        parts: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        try:
            await self._app(scope, receive, collect)
            response = Response(b"".join(parts), start["status"])
            response.raw_headers = list(start["headers"])
        except ValueError as error:  # a parameter is not a number, date or token
            response = JSONResponse({"error": f"bad parameter: {error}"}, 400)
        response = await self._faults.apply(Request(scope).url.path, response)
        response.headers[SANDBOX_HEADER] = self._backend.mark
        await response(scope, receive, send)

    def _note(self, scope: Scope) -> None:
        if self._log is not None:
            query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
            line = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ} {scope['method']} {scope['path']}{query}"
            self._log.emit(logging.makeLogRecord({"msg": line}))


class Sandbox:
    """A sandbox on a loopback port, as a context manager. ``requests`` counts requests by path.

    With ``log`` each request is a line of that file: instant (UTC), method, path and query. It is rotated, and at most
    20 MB large.

    Raises:
        InstanceError: the port is in use.
        OSError: the log cannot be written.
        UsageError: the folder has no recordings, or a fault cannot be read.
    """

    def __init__(
        self,
        data: Path | None = None,
        seed: int = 7,
        fault: str | None = None,
        port: int = 0,
        now: datetime | None = None,
        model: LanguageModel | None = None,
        log: Path | None = None,
    ) -> None:
        self.model = model or Rule()
        self.backend: Backend = Replay(data) if data is not None else Generator(seed, now)
        self.requests: Counter[str] = Counter()
        providers = [
            r for part in (prices, derivatives, macro, network, others, snapshots) for r in part.routes(self.backend)
        ]
        app = Starlette(routes=[*providers, *model_routes(self.model)])
        self.faults = Faults(parse(fault), seed)
        lines = None if log is None else RotatingFileHandler(log, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
        wrapped = _Marked(app, self.backend, self.faults, self.requests, lines)
        self._server = uvicorn.Server(uvicorn.Config(wrapped, log_level="critical", lifespan="off"))
        self._socket = _bind(port)
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}"

    def env(self) -> dict[str, str]:
        """Return the variables that send the platform's requests here."""
        feeds = ",".join(f"{name}={self.url}/rss/{name}" for name in self.backend.feeds())
        return {
            **{name: f"{self.url}{prefix}" for name, prefix in PREFIXES.items()},
            "FRED_API_KEY": macro.KEY,
            "NEWS_FEEDS": feeds or f"none={self.url}/rss/none",
            **({"SOCIAL_FEEDS": f"forum={self.url}/posts/forum"} if self.backend.posts() else {}),
            "OLLAMA_HOST": self.url,
            "OLLAMA_MODEL": self.model.name,
        }

    def __enter__(self) -> Sandbox:
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_S
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise InstanceError(f"the sandbox does not start on {self.url}; run the command again")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(START_S)
        self._socket.close()

    def serve_forever(self) -> None:
        """Serve in this thread until the process is asked to stop."""
        self._server.run([self._socket])


def _bind(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()  # a request that comes before the server runs waits for it
    except OSError as error:
        found.close()
        raise InstanceError(
            f"port {port} on {HOST} is in use ({error.strerror}); stop what uses it or give another --port"
        ) from error
    return found


def serve(port: int, data: Path | None, seed: int, fault: str | None, model: str = "rule") -> None:
    """Serve in the foreground, and print the variables to export on stdout.

    Args:
        port: the port; 0 for a free one.
        data: a folder of recordings; None for a generated market.
        seed: the seed of the generated market and of faults.
        fault: faults to inject (see ``faults.py``).
        model: the model behind Ollama's routes, ``rule`` or ``smollm2``.
    """
    sandbox = Sandbox(data, seed, fault, port, model=SmolLM2() if model == "smollm2" else Rule())
    for name, value in sandbox.env().items():
        print(f"export {name}='{value}'")
    sys.stdout.flush()
    print(f"sandbox on {sandbox.url} (stop with Ctrl-C)", file=sys.stderr, flush=True)
    sandbox.serve_forever()
