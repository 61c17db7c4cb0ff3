"""``python -m crypto_assets_bench._load PORT CLIENTS SECONDS FILE``: asks one request over and over; prints what it measured.

A process of its own, and little more than sockets: a client of asyncio protocols that looks for the length of an answer and
counts its bytes. So what is measured is the server. FILE has the whole request, head and body, as it goes over the wire.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path

WARM_S = 2.0  # not counted: connections, caches and the code that is compiled or imported at first use


class _Client(asyncio.Protocol):
    """One connection: sends the request again as soon as the whole answer is there."""

    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self._request, self._until, self._done = request, until, done
        self.took: list[tuple[float, float]] = []  # (when it ended, seconds)
        self.refused = 0
        self.bytes = 0
        self._head, self._left = b"", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._left:
            head, found, body = (self._head + data).partition(b"\r\n\r\n")
            if not found:
                self._head = head
                return
            fields = head.lower().split(b"\r\n")
            self.refused += not fields[0].startswith(b"http/1.1 200")
            length = next(line for line in fields if line.startswith(b"content-length:"))
            self._left, self._head = int(length.split(b":")[1]), b""
            self.bytes = len(head) + 4 + self._left
            data = body
        self._left -= len(data)
        if not self._left:
            now = time.perf_counter()
            self.took.append((now, now - self._began))
            if now > self._until:
                self._transport.close()
                self._done.set_result(None)
            else:
                self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))


async def _measure(port: int, clients: int, seconds: float, request: bytes) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    start = time.perf_counter() + WARM_S
    made = []
    for _ in range(clients):
        done = loop.create_future()
        _, client = await loop.create_connection(partial(_Client, request, start + seconds, done), "127.0.0.1", port)
        made.append((client, done))
    await asyncio.gather(*(done for _, done in made))
    took = sorted(seconds for client, _ in made for ended, seconds in client.took if ended - seconds >= start)
    return {
        "requests": len(took),
        "per_s": len(took) / (time.perf_counter() - start),
        "p50_ms": took[len(took) // 2] * 1000,
        "p99_ms": took[int(len(took) * 0.99)] * 1000,
        "refused": sum(client.refused for client, _ in made),
        "bytes": max(client.bytes for client, _ in made),
        "client_cpu_s": time.process_time(),
    }


if __name__ == "__main__":
    where, how_many, long, file = sys.argv[1:]
    print(json.dumps(asyncio.run(_measure(int(where), int(how_many), float(long), Path(file).read_bytes()))))
