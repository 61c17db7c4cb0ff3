"""A gateway on loopback over the rows of the Python face's tests, with a Postgres database of its own."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import polars as pl
import psycopg2
import pytest
import uvicorn

from crypto_assets.gateway.app import build, front
from crypto_assets.gateway.server import configured
from crypto_assets.gateway.tokens import Tokens
from crypto_assets.serving import online
from crypto_assets.settings import Settings
from crypto_assets_tests.store.conftest import feature_rows
from crypto_assets_tests.store.conftest import home as home  # the same rows


class Running:
    """A gateway that answers.

    Attributes:
        url: its Postgres.
        address: where it listens.
        token: a token that may read everything.
    """

    def __init__(self, url: str, address: str, token: str) -> None:
        self.url, self.address, self.token = url, address, token
        self.tokens = Tokens(url)

    def client(self, token: str | None = "", **headers: str) -> httpx.Client:
        """A client with a token: ``""`` the one that may read everything, None none at all."""
        sent = self.token if token == "" else token
        found = {} if sent is None else {"Authorization": f"Bearer {sent}"}
        return httpx.Client(base_url=self.address, headers={**found, **headers}, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[str]:
    name = f"gateway_{uuid.uuid4().hex}"
    connection = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield postgres_url.rsplit("/", 1)[0] + f"/{name}"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture(scope="module")
def start(home: Path, database: str) -> Iterator[Callable[..., Running]]:
    """Starts gateways: ``start(loopback_without_token=True)``."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []
    tokens = Tokens(database)
    newest = feature_rows().sort("ts").group_by("symbol", maintain_order=True).last()
    online.upsert(database, newest, 1)

    def make(at: Path = home, **options: bool) -> Running:
        app = build(Settings.from_env({"CRYPTO_ASSETS_HOME": str(at)}), database, **options)
        server = uvicorn.Server(configured(front(app), port=0, lifespan="on"))
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        token = tokens.create(f"all {uuid.uuid4().hex[:8]}", ["all"], calls_a_minute=1_000_000)
        return Running(database, f"http://127.0.0.1:{port}", token)

    yield make
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def gateway(start: Callable[..., Running]) -> Running:
    return start()


@pytest.fixture
def client(gateway: Running) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


def as_frame(rows: list[dict[str, object]], like: pl.DataFrame) -> pl.DataFrame:
    """JSON rows as a frame of the same types as another one."""
    found = pl.DataFrame(
        rows, schema={name: pl.String if kind.is_temporal() else kind for name, kind in like.schema.items()}
    )
    times = [
        pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC")
        if isinstance(kind, pl.Datetime)
        else pl.col(name).str.to_date()
        for name, kind in like.schema.items()
        if kind.is_temporal()
    ]
    return found.with_columns(times)


HOUR = timedelta(hours=1)
