"""Run the gateway with uvicorn: bounded connections, a certificate where one is given, a clean end."""

from __future__ import annotations

import gc
import resource
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

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
GRACE_S = 10  # answers that are under way may end within


def serve(
    settings: Settings,
    postgres_url: str,
    host: str,
    port: int,
    *,
    loopback_without_token: bool = False,
    certificate: tuple[Path, Path] | None = None,
) -> None:
    """Serve until the process is stopped.

    Args:
        settings: the installation.
        postgres_url: the Postgres of tokens and of the newest features.
        host: the address to listen on.
        port: the port; 0 for a free one.
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
    config = configured(
        build(settings, postgres_url, loopback_without_token=loopback_without_token),
        ssl_certfile=None if certificate is None else str(certificate[0]),
        ssl_keyfile=None if certificate is None else str(certificate[1]),
    )
    _allow_connections()
    with suppress(InstanceError):  # a gateway's own role may not make tables; the first token makes them
        Tokens(postgres_url).prepare()
    print(
        f"gateway on {scheme}://{shown}:{listening.getsockname()[1]} (/docs describes it; stop with Ctrl-C)", flush=True
    )
    _settle()
    uvicorn.Server(config).run(sockets=[listening])


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


def configured(app: FastAPI, **options: Any) -> uvicorn.Config:
    """Return what uvicorn runs a gateway with.

    Args:
        app: the gateway.
        options: further settings of uvicorn.

    Returns:
        The settings.
    """
    return uvicorn.Config(
        front(app), http=Connection, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=15,
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
