"""A Starlette application on a free loopback port, in a thread."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType

import uvicorn

HOST = "127.0.0.1"


class Background:
    """The server as a context manager. Left and entered again it has the same port, so that it can be away for a while."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._config = config
        self._socket = _bound(0)
        self._port = self._socket.getsockname()[1]
        self.url = f"http://{HOST}:{self._port}"

    def __enter__(self) -> Background:
        if self._socket.fileno() == -1:
            self._socket = _bound(self._port)
        self._server = uvicorn.Server(self._config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()

    def deaf(self) -> socket.socket:
        """A socket at the same port that takes connections and never answers: close it, or leave its context."""
        made = _bound(self._port)
        made.listen(100)
        return made


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((HOST, port))
    return made
