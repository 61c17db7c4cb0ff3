"""Run the gateway with uvicorn: bounded connections, one process or several, a certificate where one is given, a clean end."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from crypto_assets.errors import CryptoAssetsError, InstanceError, UsageError
from crypto_assets.gateway.access import LOOPBACK
from crypto_assets.gateway.app import build, front
from crypto_assets.gateway.connections import Connection
from crypto_assets.gateway.log import write_requests
from crypto_assets.gateway.measured import LOG
from crypto_assets.gateway.tokens import Tokens
from crypto_assets.settings import Settings

FILES = 65_536  # a connection is an open file; the usual limit is 1,024
BACKLOG = 4_096  # connections that wait to be accepted
FIRST_USED = ("deltalake", "psycopg2.extras", "pyarrow.parquet")
COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client keeps the counts of several processes
HANGS_S = 60  # a worker that says nothing for this long is replaced; one that starts on a busy machine takes seconds
GRACE_S = 10  # answers that are under way may end within


@dataclass(frozen=True)
class Made:
    """Makes the gateway in the process that serves it.

    Attributes:
        settings: the installation.
        postgres_url: the Postgres of tokens and of the newest features.
        loopback_without_token: whether programs of this machine need no token.
        counts: the folder where several processes keep their counts; None: there is one process.
    """

    settings: Settings
    postgres_url: str
    loopback_without_token: bool = False
    counts: Path | None = None

    def __call__(self) -> ASGIApp:
        """Make it, and prepare this process for it."""
        app = build(
            self.settings, self.postgres_url, loopback_without_token=self.loopback_without_token, counts=self.counts
        )
        _allow_connections()
        _settle()
        if self.counts is not None:
            Thread(target=_end_with_parent, name="parent", daemon=True).start()
        return front(app)


def serve(
    settings: Settings,
    postgres_url: str,
    host: str,
    port: int,
    *,
    workers: int = 1,
    loopback_without_token: bool = False,
    certificate: tuple[Path, Path] | None = None,
) -> None:
    """Serve until the process is stopped.

    Args:
        settings: the installation.
        postgres_url: the Postgres of tokens and of the newest features.
        host: the address to listen on.
        port: the port; 0 for a free one.
        workers: processes that answer on it. More than one is watched by this process, which starts another for one that ends.
        loopback_without_token: whether programs of this machine need no token; only for a loopback address.
        certificate: the files of a certificate and of its key, in PEM; None: no TLS.

    Raises:
        UsageError: tokens are not asked for on an address that other machines reach.
        CryptoAssetsError: the address cannot be listened on.
    """
    if loopback_without_token and host not in (*LOOPBACK, "localhost"):
        raise UsageError(
            f"--without-token is for this machine only, and --host {host} is reached by others; leave one out"
        )
    listening = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if certificate is None else "https"
    files = {} if certificate is None else {"ssl_certfile": str(certificate[0]), "ssl_keyfile": str(certificate[1])}
    with suppress(InstanceError):  # a gateway's own role may not make tables; the first token makes them
        Tokens(postgres_url).prepare()
    print(
        f"gateway on {scheme}://{shown}:{listening.getsockname()[1]} (/docs describes it; stop with Ctrl-C)", flush=True
    )
    if workers == 1:
        made = Made(settings, postgres_url, loopback_without_token)
        uvicorn.Server(configured(made, factory=True, **files)).run(sockets=[listening])
        return
    with TemporaryDirectory(prefix="crypto-assets-gateway-") as counts:
        os.environ[COUNTS] = counts  # before the workers import prometheus_client, which decides by it where counts are
        made = Made(settings, postgres_url, loopback_without_token, Path(counts))
        config = configured(made, factory=True, workers=workers, timeout_worker_healthcheck=HANGS_S, **files)
        Multiprocess(config, [listening]).run()


def _end_with_parent() -> None:
    """End this worker when the process that watches it has gone without a word."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _settle() -> None:
    """Make single requests as fast as the others.

    What the first requests would import is imported now. Objects that stay are taken from the garbage collector, which
    otherwise looks at all of them every few seconds while requests wait. A thread that reads rows lets the event loop go on
    after half a millisecond instead of five.
    """
    for module in FIRST_USED:
        import_module(module)
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.0005)
    write_requests(LOG)


def configured(app: ASGIApp | Made, **options: Any) -> uvicorn.Config:
    """Return what uvicorn runs a gateway with.

    Args:
        app: the gateway, of :func:`~crypto_assets.gateway.app.front`, or what makes it.
        options: further settings of uvicorn.

    Returns:
        The settings.
    """
    return uvicorn.Config(
        app, http=Connection, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_S, backlog=BACKLOG, **options,
    )  # fmt: skip


def _allow_connections() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    with suppress(ValueError, OSError):  # then the usual limit holds
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise CryptoAssetsError(
            f"{host}:{port} cannot be listened on ({error.strerror}); give another --port, or an address of this machine as --host"
        ) from error
    return listening
