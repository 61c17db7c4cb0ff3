"""A webhook on loopback that keeps what it got and answers as the test says."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0KEN-that-nobody-may-read"


class Receiver:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hooks/{SECRET}"
        self.status = 200
        self.headers: dict[str, str] = {}
        self.got: list[dict[str, Any]] = []  # accepted only
        self.ids: list[str] = []  # every attempt
        self.before_answer = lambda: None
        self.drips = False  # answers for ever, a byte at a time
        self.refuses = 0.0  # share of the messages answered 503, by dice that fall the same way each time
        self.dice = random.Random(7)

    def events(self) -> list[tuple[str, str, str]]:
        return [(m["kind"], m["subject"], m["event"]) for m in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.ids.append(self.headers["Idempotency-Key"])
            status = 503 if receiver.dice.random() < receiver.refuses else receiver.status
            if status < 300:
                receiver.got.append(document)
            receiver.before_answer()
            if receiver.drips:
                return self._drip()
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _drip(self) -> None:
            with suppress(OSError):  # until the other side has had enough
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
                for _ in range(200):
                    self.wfile.write(b"x")
                    time.sleep(0.05)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
