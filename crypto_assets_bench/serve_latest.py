"""The newest features over HTTP: our gateway beside Feast's Python feature server, one Postgres, the same rows.

Fifty coins with every feature of ``ml_features``. Each server is asked for one coin and for all fifty by eight clients of one
light process; each has one worker, its own default. Ours checks a token and counts the request in Postgres each time; Feast's asks
for no token. Feast lives in an environment of its own, made once under ``~/.cache/crypto_assets``; where it cannot be installed
the baseline is null and the notes say why.

``ours_s`` and ``baseline_s`` are seconds of a thousand requests for one coin; ``ratio`` is that of requests a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import polars as pl
import psycopg2

from crypto_assets.catalog.coins import by_symbol
from crypto_assets.gateway.tokens import Tokens
from crypto_assets.runtime.postgres import ensure_postgres
from crypto_assets.serving import online
from crypto_assets.settings import Settings
from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.tables.schemas import ML_FEATURES
from crypto_assets_bench import _environment, _feast_side
from crypto_assets_bench._processes import cpu_s, free_port, memory_mb, server
from crypto_assets_bench.result import Result

COINS, CLIENTS, SECONDS = 50, 8, 12.0
HOME = Path.home() / ".cache" / "crypto_assets" / "feast"
REQUIREMENT = "feast[postgres]>=0.60,<1"
WRITE_S = 600
Measured = dict[str, dict[str, float]]  # one, fifty -> figures


def run() -> Result:
    rows = made_up()
    with tempfile.TemporaryDirectory(prefix="serve-latest-") as folder:
        settings = replace(Settings.from_env({"CRYPTO_ASSETS_HOME": str(Path(folder) / "home")}))
        url = ensure_postgres(settings)
        online.upsert(url, rows, 1)
        with gateway(Path(folder) / "home", url) as (port, pid, token):
            ours = measured(Path(folder), port, pid, lambda asked: _ours(asked, token))
            check(rows, answer(port, _ours(coins(), token))["rows"])
        try:
            theirs, version = feast(Path(folder), url, rows)
        except (OSError, subprocess.SubprocessError) as error:
            why = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1][:160]
            return Result(
                _thousand(ours["one"]), None, None, None, {"why": f"Feast is not there: {why}", **_said("ours", ours)}
            )
    notes = {
        "features": len(ML_FEATURES.value_columns), "clients": CLIENTS, "feast": version,
        **_said("ours", ours), **_said("feast", theirs),
        "ratio_fifty": round(ours["fifty"]["per_s"] / theirs["fifty"]["per_s"], 1),
        "p99_share_one": round(ours["one"]["p99_ms"] / theirs["one"]["p99_ms"], 3),
        "p99_share_fifty": round(ours["fifty"]["p99_ms"] / theirs["fifty"]["p99_ms"], 3),
    }  # fmt: skip
    ratio = ours["one"]["per_s"] / theirs["one"]["per_s"]
    return Result(
        _thousand(ours["one"]), _thousand(theirs["one"]), round(ratio, 2), round(ours["fifty"]["memory_mb"]), notes
    )


def made_up() -> pl.DataFrame:
    """One row of each coin, every feature a number."""
    random = np.random.default_rng(21)
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    count = len(ML_FEATURES.value_columns)
    rows = pl.DataFrame({
        "symbol": coins(), "ts": [now] * COINS, "date": [now.date()] * COINS,
        "available_at": [now] * COINS, "pit_quality": ["final"] * COINS, "source": ["derived"] * COINS,
        **dict(zip(ML_FEATURES.value_columns, random.normal(0, 100, (count, COINS)), strict=True)),
    })  # fmt: skip
    kinds = pl.Schema({name: kind for name, kind in ML_FEATURES.polars_schema.items() if kind != TIMESTAMP})
    return rows.with_columns(pl.col("ts", "available_at").cast(TIMESTAMP)).cast(kinds).select(ML_FEATURES.names)


def coins() -> list[str]:
    return sorted(by_symbol())[:COINS]


@contextmanager
def gateway(home: Path, url: str, workers: int = 1) -> Iterator[tuple[int, int, str]]:
    """Our gateway; yields its port, its process and a token that may read everything."""
    tokens, port = Tokens(url), free_port()
    token = tokens.create(f"bench {port}", ["all"], calls_a_minute=1_000_000_000, rows_a_day=10**15)
    command = [sys.executable, "-c", "from crypto_assets.cli.entry import main; main()", "serve", "--port", str(port)]
    with server(command, port, {"CRYPTO_ASSETS_HOME": str(home)}) as pid:
        yield port, pid, token


def _ours(asked: Sequence[str], token: str) -> bytes:
    head = f"GET /v1/features/latest?symbols={','.join(asked)} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}"
    return f"{head}\r\n\r\n".encode()


def _theirs(asked: Sequence[str]) -> bytes:
    features = [f"features:{name}" for name in ML_FEATURES.value_columns]
    body = json.dumps({"features": features, "entities": {"symbol": list(asked)}})
    head = "POST /get-online-features HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def measured(folder: Path, port: int, pid: int, request: Callable[[Sequence[str]], bytes]) -> Measured:
    """Ask for one coin and for all."""
    found: Measured = {}
    for name, asked in (("one", coins()[:1]), ("fifty", coins())):
        file = folder / "request"
        file.write_bytes(request(asked))
        before = cpu_s(pid)
        command = [sys.executable, "-m", "crypto_assets_bench._load", str(port), str(CLIENTS), str(SECONDS), str(file)]
        said = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        if said["refused"]:
            raise SystemExit(f"{said['refused']:.0f} requests were refused; a figure would mean nothing")
        found[name] = {**said, "server_cpu_s": cpu_s(pid) - before, "memory_mb": memory_mb(pid)}
    return found


def answer(port: int, request: bytes) -> Any:
    """Ask once; return the document."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(field.split(": ", 1) for field in fields if not field.lower().startswith(("host", "content-length")))
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", body or None, headers, method=method)) as got:
        return json.load(got)


@contextmanager
def feast_server(folder: Path, url: str, rows: pl.DataFrame) -> Iterator[tuple[int, int, str]]:
    """Feast's server with the rows in its online store; yields its port, its process and its version."""
    python = interpreter()
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    place = connection.get_dsn_parameters()
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE feast")
    store = {
        "project": "bench", "registry": str(folder / "registry.db"), "provider": "local", "entity_key_serialization_version": 3,
        "offline_store": {"type": "file"},
        "online_store": {
            "type": "postgres", "host": place["host"], "port": int(place["port"]), "database": "feast", "db_schema": "public",
            "user": place["user"], "password": connection.info.password, "conn_type": "pool", "min_conn": 1, "max_conn": 16,
            "sslmode": "disable",
        },
    }  # fmt: skip
    repo = folder / "feast"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(json.dumps(store))  # YAML reads JSON
    rows.select("symbol", "ts", *ML_FEATURES.value_columns).write_parquet(folder / "feast.parquet")
    command = [str(python), _feast_side.__file__, str(repo), str(folder / "feast.parquet")]
    environment = {"FEAST_USAGE": "False"}
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=WRITE_S, check=True, env={**os.environ, **environment}
    )
    port = free_port()
    serve = [
        str(python.with_name("feast")),
        "-c",
        str(repo),
        "serve",
        "--port",
        str(port),
        "--no-access-log",
        "--max-requests",
        "0",
    ]
    with server(serve, port, environment) as pid:
        yield port, pid, json.loads(said.stdout.splitlines()[-1])["version"]


def feast(folder: Path, url: str, rows: pl.DataFrame) -> tuple[Measured, str]:
    """Measure Feast's server, and hold its values against the rows."""
    with feast_server(folder, url, rows) as (port, pid, version):
        found = measured(folder, port, pid, _theirs)
        document = answer(port, _theirs(coins()))
        names = document["metadata"]["feature_names"]
        values = {name: result["values"] for name, result in zip(names, document["results"], strict=True)}
        check(rows, pl.DataFrame(values).to_dicts())
    return found, version


def check(rows: pl.DataFrame, answered: Sequence[dict[str, Any]]) -> None:
    """Stop where an answer is not the rows: a ratio would mean nothing."""
    names = ["symbol", *ML_FEATURES.value_columns]
    if pl.DataFrame(answered).select(names).sort("symbol").to_dicts() != rows.select(names).sort("symbol").to_dicts():
        raise SystemExit("the answers are not the rows that were stored; a ratio would mean nothing")


def interpreter() -> Path:
    """The Python that has Feast."""
    return _environment.interpreter(HOME, "Feast", REQUIREMENT)


def _thousand(figures: dict[str, float]) -> float:
    return round(1_000 / figures["per_s"], 3)


def _said(whose: str, found: Measured) -> dict[str, float]:
    names = {"per_s": "per_s", "p50_ms": "p50_ms", "p99_ms": "p99_ms"}
    said = {
        f"{whose}_{case}_{name}": round(figures[key], 2)
        for case, figures in found.items()
        for key, name in names.items()
    }
    cpu = {
        f"{whose}_{case}_server_cpu_ms": round(figures["server_cpu_s"] * 1000 / figures["requests"], 3)
        for case, figures in found.items()
    }
    return said | cpu
