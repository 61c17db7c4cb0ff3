"""Nothing is read without a token, and nothing that the token was not given."""

from __future__ import annotations

import concurrent.futures
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import psycopg2
import pytest

from crypto_assets.errors import UsageError
from crypto_assets.gateway.server import serve
from crypto_assets.settings import Settings
from crypto_assets.tables.registry import CONTRACTS
from crypto_assets_tests.gateway.conftest import Running

READING = [
    "/v1/catalog",
    "/v1/tables/prices",
    "/v1/tables/prices/rows",
    "/v1/features/latest",
    "/v1/signals/latest",
    "/v1/narratives/digest",
    "/v1/status",
]
ENTITY = {"entities": [{"symbol": "BTC", "ts": "2024-01-01T10:17:00Z"}], "columns": ["rsi_14"]}


def made(gateway: Running, *tables: str, **options: object) -> str:
    return gateway.tokens.create(f"t {uuid.uuid4().hex[:8]}", list(tables), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", READING)
def test_nothing_is_read_without_a_token(gateway: Running, path: str) -> None:
    for token in (None, "nonsense", f"ca_{'0' * 12}_{'A' * 43}", gateway.token[:-1] + "x"):
        with gateway.client(None) as client:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            answer = client.get(path, headers=headers)
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
        assert "rows" not in answer.text


def test_historical_features_need_a_token_too(gateway: Running) -> None:
    with gateway.client(None) as client:
        assert client.post("/v1/features/historical", json=ENTITY).status_code == 401


@pytest.mark.parametrize("allowed", ["prices", "ml_features", "theme_digests", "signals"])
def test_a_token_reads_its_tables_and_no_other(gateway: Running, allowed: str) -> None:
    """Every table by every route that can name or contain it."""
    with gateway.client(made(gateway, allowed, calls_a_minute=10_000)) as client:
        for table in CONTRACTS:
            expected = 200 if table == allowed else 403
            assert client.get(f"/v1/tables/{table}").status_code == expected
            assert client.get(f"/v1/tables/{table}/rows").status_code == expected
        assert [row["table"] for row in client.get("/v1/catalog").json()["tables"]] == [allowed]
        assert client.get("/v1/features/latest").status_code == (200 if allowed == "ml_features" else 403)
        assert client.post("/v1/features/historical", json=ENTITY).status_code == (
            200 if allowed == "ml_features" else 403
        )
        assert client.get("/v1/signals/latest").status_code == (200 if allowed == "signals" else 403)
        assert client.get("/v1/narratives/digest").status_code == (200 if allowed == "theme_digests" else 403)


def test_a_token_ends_at_once_and_at_its_instant(gateway: Running) -> None:
    ends = datetime.now(timezone.utc) + timedelta(seconds=1)
    short = made(gateway, "prices", expires_at=ends)
    revoked = made(gateway, "prices")
    with gateway.client(revoked) as client:
        assert client.get("/v1/tables/prices").status_code == 200
        assert gateway.tokens.revoke(revoked.split("_")[1])
        answer = client.get("/v1/tables/prices")
        assert answer.status_code == 401 and answer.json()["type"].endswith("revoked-token")
    with gateway.client(short) as client:
        while datetime.now(timezone.utc) <= ends:
            time.sleep(0.05)
        assert client.get("/v1/tables/prices").json()["type"].endswith("expired-token")


def test_a_token_has_a_limit_of_requests_and_of_rows(gateway: Running) -> None:
    few = made(gateway, "prices", calls_a_minute=3)
    with gateway.client(few) as client:
        statuses = [client.get("/v1/tables/prices").status_code for _ in range(9)]
        assert statuses.count(200) in (3, 4, 5, 6), "a new minute may begin"
        refused = client.get("/v1/tables/prices")
        if refused.status_code == 429:
            assert 0 < int(refused.headers["retry-after"]) <= 60
    rows = made(gateway, "prices", rows_a_day=10)
    with gateway.client(rows) as client:
        assert client.get("/v1/tables/prices/rows?limit=20").status_code == 200
        assert client.get("/v1/tables/prices/rows?limit=20").json()["type"].endswith("too-many-rows")


def test_requests_are_counted_by_all_gateways_together(gateway: Running, start: Callable[..., Running]) -> None:
    other = start()
    token = made(gateway, "prices", calls_a_minute=20)

    def ask(n: int) -> int:
        with (gateway if n % 2 else other).client(token) as client:
            return client.get("/v1/tables/prices").status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(60)))
    assert statuses.count(429) >= 20 and set(statuses) == {200, 429}  # 40 where a new minute began meanwhile


def test_only_a_hash_is_stored_and_a_wrong_secret_costs_the_token_nothing(gateway: Running) -> None:
    token = made(gateway, "prices", calls_a_minute=5)
    secret = token.split("_", 2)[2]
    wrong = token.replace(secret, "A" * 43)
    with gateway.client(wrong) as client:
        assert {client.get("/v1/tables/prices").status_code for _ in range(20)} == {401}
    with gateway.client(token) as client:
        assert client.get("/v1/tables/prices").status_code == 200
    with psycopg2.connect(gateway.url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM serving.tokens t")
        assert secret not in " ".join(row[0] for row in cursor.fetchall())


def test_this_machine_needs_no_token_only_where_that_was_asked_for(start: Callable[..., Running]) -> None:
    with start(loopback_without_token=True).client(None) as client:
        assert client.get("/v1/tables/prices/rows?limit=1").status_code == 200
        assert client.get("/v1/tables/prices", headers={"Authorization": "Bearer wrong"}).status_code == 401
    with pytest.raises(UsageError, match="--without-token is for this machine only"):
        serve(Settings.from_env({}), "postgresql://nowhere", "0.0.0.0", 0, loopback_without_token=True)


@pytest.mark.parametrize(
    ("name", "tables", "said"),
    [("a", ["price"], "did you mean prices"), ("a", [], "names no table"), ("", ["prices"], "is not a name"), ("a\nb", ["prices"], "is not a name")],
)  # fmt: skip
def test_a_token_that_makes_no_sense_is_not_made(gateway: Running, name: str, tables: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        gateway.tokens.create(name, tables)


def test_a_name_is_taken_once_and_an_unknown_one_is_refused(gateway: Running) -> None:
    name = f"dashboard {uuid.uuid4().hex[:6]}"
    gateway.tokens.create(name, ["prices"])
    with pytest.raises(UsageError, match="is taken"):
        gateway.tokens.create(name, ["prices"])
    assert name in [token.name for token in gateway.tokens.all()]
    assert gateway.tokens.revoke(name) and not gateway.tokens.revoke(name)
    with pytest.raises(UsageError, match="there is no token"):
        gateway.tokens.revoke("nobody")
