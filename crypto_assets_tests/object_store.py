"""An S3 server of this process on loopback: moto's, one request at a time, so that "put unless there" is atomic."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from http.client import HTTPConnection
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from moto.server import create_backend_app
from werkzeug.serving import make_server

HOST = "127.0.0.1"


class ObjectStore:
    """The server as a context manager. ``env`` is what a user would export; ``requests`` counts."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        application = create_backend_app("s3")
        self._turn = threading.Lock()
        self.requests = 0

        def one_at_a_time(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            with self._turn:  # moto looks and then stores; a real store does both at once
                self.requests += 1
                return list(application(environ, start))

        self._server = make_server(HOST, 0, one_at_a_time, threaded=True)
        self.url = f"http://{HOST}:{self._server.server_port}"
        self.env = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test-key",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_REGION": "us-east-1",
        }

    def bucket(self) -> str:
        """The address of a new empty bucket."""
        name = f"b{uuid.uuid4().hex[:12]}"
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or HOST, address.port)
        connection.request("PUT", f"/{name}", headers={"Authorization": _SIGNED})
        assert connection.getresponse().status == 200
        connection.close()
        return f"s3://{name}"

    def __enter__(self) -> ObjectStore:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


# moto reads the region and the service from the credential and checks no signature.
_SIGNED = "AWS4-HMAC-SHA256 Credential=test-key/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
