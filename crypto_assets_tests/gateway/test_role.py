"""A gateway's role in the database does its work and nothing else; several gateways share the tokens' limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg2
import pytest
from psycopg2 import errors

from crypto_assets.gateway.role import Roles
from crypto_assets_tests.gateway.conftest import Running
from crypto_assets_tests.ports import free_port

FORBIDDEN = [
    "CREATE TABLE public.mine (n integer)",
    "CREATE TEMPORARY TABLE mine (n integer)",
    "CREATE SCHEMA mine",
    "CREATE TABLE online.mine (n integer)",
    "CREATE TABLE serving.mine (n integer)",
    "INSERT INTO serving.tokens SELECT * FROM serving.tokens",
    "UPDATE serving.tokens SET expires_at = NULL",
    "DELETE FROM serving.tokens",
    "DELETE FROM serving.token_use",
    "TRUNCATE serving.token_use",
    "DROP TABLE serving.token_use",
    "ALTER TABLE serving.token_use ADD COLUMN more integer",
    "INSERT INTO online.ml_features_latest SELECT * FROM online.ml_features_latest",
    "UPDATE online.ml_features_latest SET rsi_14 = 0",
    "DELETE FROM online.ml_features_latest",
    "UPDATE online.changes SET mark = gen_random_uuid()",
    "SELECT * FROM public.runs",
    "DELETE FROM public.runs",
    "CREATE ROLE another",
    "ALTER ROLE {role} SUPERUSER",
    "GRANT SELECT ON public.runs TO {role}",
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY online.ml_features_latest TO PROGRAM 'cat'",
    "SELECT * FROM pg_authid",
]


@pytest.fixture(scope="module")
def address(gateway: Running) -> Iterator[tuple[str, str]]:
    """The address of the database for a role of its own, and the role's name; beside a table of Dagster's."""
    role = f"gateway_{uuid.uuid4().hex[:12]}"
    with psycopg2.connect(_dsn(gateway.url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE public.runs (run_id text)")
    connection.close()
    password = Roles(gateway.url).grant(role)
    front, _, back = gateway.url.rpartition("@")
    yield f"{front.split('://')[0]}://{role}:{password}@{back}", role
    connection = psycopg2.connect(_dsn(gateway.url))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {role}")
        cursor.execute(f"DROP ROLE {role}")
    connection.close()


def _dsn(url: str) -> str:
    return url.replace("+psycopg2", "")


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_every_other_statement_is_refused(gateway: Running, address: tuple[str, str], statement: str) -> None:
    owner = gateway.url.split("://")[1].split(":")[0]
    connection = psycopg2.connect(_dsn(address[0]))
    try:
        with connection.cursor() as cursor, pytest.raises(errors.InsufficientPrivilege):
            cursor.execute(statement.format(role=address[1], owner=owner))
    finally:
        connection.close()


def test_a_role_keeps_its_rights_with_a_new_password(gateway: Running, address: tuple[str, str]) -> None:
    other = f"gateway_{uuid.uuid4().hex[:12]}"
    first, second = Roles(gateway.url).grant(other), Roles(gateway.url).grant(other)
    assert first != second
    front, _, back = gateway.url.rpartition("@")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(_dsn(f"{front.split('://')[0]}://{other}:{first}@{back}"))
    psycopg2.connect(_dsn(f"{front.split('://')[0]}://{other}:{second}@{back}")).close()
    connection = psycopg2.connect(_dsn(gateway.url))
    connection.autocommit = True
    connection.cursor().execute(f"DROP OWNED BY {other}; DROP ROLE {other}")
    connection.close()


@pytest.fixture(scope="module")
def two(home: Path, address: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two gateways, each a process of its own, with the role; their addresses."""
    environment = {
        **os.environ, "DAGSTER_POSTGRES_URL": address[0], "CRYPTO_ASSETS_HOME": str(tmp_path_factory.mktemp("two")),
        "CRYPTO_ASSETS_WAREHOUSE": str(home / "warehouse"),
    }  # fmt: skip
    serve = "from crypto_assets.cli.entry import main; main()"
    with ExitStack() as stack:
        found = []
        for port in (free_port(), free_port()):
            process = subprocess.Popen([sys.executable, "-c", serve, "serve", "--port", str(port)], env=environment)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            found.append(f"http://127.0.0.1:{port}")
        for one in found:
            _wait_for(one)
        yield found


def _wait_for(address: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{address}/readyz", trust_env=False, timeout=30).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{address} does not become ready")


def test_two_processes_with_the_role_share_the_limits_of_a_token(gateway: Running, two: list[str]) -> None:
    token = gateway.tokens.create(f"shared {uuid.uuid4().hex[:8]}", ["prices", "ml_features"], calls_a_minute=30)
    headers = {"Authorization": f"Bearer {token}"}

    def ask(n: int) -> int:
        path = ("/v1/features/latest", "/v1/tables/prices/rows?limit=2")[n % 4 // 2]
        return httpx.get(two[n % 2] + path, headers=headers, trust_env=False, timeout=60).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(ask, range(100)))
    assert set(statuses) == {200, 429}
    assert statuses.count(200) in range(30, 61), "30, and as many again where a new minute began"


def test_the_role_is_enough_for_what_is_read(gateway: Running, two: list[str]) -> None:
    """All but the status, which is about Dagster's runs: of these the role knows nothing."""
    headers = {"Authorization": f"Bearer {gateway.token}"}
    with httpx.Client(base_url=two[0], headers=headers, trust_env=False, timeout=60) as client:
        for path in ("/v1/catalog", "/v1/tables/prices", "/v1/signals/latest", "/v1/narratives/digest", "/metrics"):
            assert client.get(path).status_code == 200, path
        body = {"entities": [{"symbol": "BTC", "ts": "2024-01-01T10:17:00Z"}], "columns": ["rsi_14"]}
        assert client.post("/v1/features/historical", json=body).json()["rows"]
        status = client.get("/v1/status")
        assert (status.status_code, status.json()["type"]) == (503, "urn:crypto-assets:problem:postgres-away")


def test_the_command_prints_an_address_that_works(gateway: Running, home: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "DAGSTER_POSTGRES_URL": gateway.url, "CRYPTO_ASSETS_HOME": str(tmp_path)}
    role = f"gateway_{uuid.uuid4().hex[:12]}"
    command = [
        sys.executable,
        "-c",
        "from crypto_assets.cli.entry import main; main()",
        "token",
        "role",
        "--name",
        role,
    ]
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    psycopg2.connect(_dsn(json.loads(done.stdout)["address"])).close()
    wrong = subprocess.run([*command[:-1], "A-b"], env=environment, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "is not a name of a role" in wrong.stderr
