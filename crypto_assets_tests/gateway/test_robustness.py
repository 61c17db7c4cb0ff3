"""Bad input and bad company: a clear answer with the right status, nothing of the inside, and the next request is served."""

from __future__ import annotations

import json
import re
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from crypto_assets.gateway import connections
from crypto_assets.gateway import limits as bounds
from crypto_assets.gateway.app import build
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES
from crypto_assets_tests.gateway.conftest import HOUR, Running
from crypto_assets_tests.store.conftest import FIRST, MIDNIGHT, price_rows

PATH = "/v1/tables/prices/rows"
ARROW = {"Accept": "application/vnd.apache.arrow.stream"}
DAYS = 60
INSIDE = re.compile(r"Traceback|/home|/tmp|\.py|psycopg|postgresql:|polars|deltalake", re.IGNORECASE)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose prices are more than the buffers of two sockets hold."""
    home = tmp_path_factory.mktemp("large")
    hours = pl.DataFrame(
        {"ts": [MIDNIGHT + HOUR * n for n in range(DAYS * 24)]}, schema={"ts": PRICES.polars_schema["ts"]}
    )
    coins = pl.DataFrame({"symbol": [f"C{n:03}" for n in range(200)]})
    rows = coins.join(hours, how="cross").with_columns(
        pl.col("ts").dt.date().alias("date"), (pl.col("ts") + HOUR).alias("available_at"), pl.lit(1.0).alias("price_usd"),
        pl.lit("coingecko").alias("source"), pl.lit(price_rows()["pit_quality"][0]).alias("pit_quality"),
        pl.lit(None, pl.Float64).alias("market_cap_usd"), pl.lit(None, pl.Float64).alias("volume_24h_usd"),
    )  # fmt: skip
    days = [FIRST + timedelta(days=n) for n in range(DAYS)]
    Warehouse(str(home / "warehouse")).write(PRICES, rows.select(PRICES.names), days)
    return home


def problem(answer: httpx.Response, status: int, kind: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    said = answer.json()
    assert said["type"] == f"urn:crypto-assets:problem:{kind}" and said["status"] == status and said["detail"]
    assert not INSIDE.search(answer.text), answer.text


def raw(gateway: Running, sent: bytes, seconds: float = 20) -> httpx.Response:
    """Send bytes as they are; the answer until the server closes or has said all."""
    with socket.create_connection(_place(gateway), seconds) as one:
        one.sendall(sent)
        got = b""
        while part := one.recv(65536):
            got += part
            head, found, body = got.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if found and length and len(body) >= int(length[1]):
                break
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return httpx.Response(int(head.split()[1]), headers=fields, content=body)


def _place(gateway: Running) -> tuple[str, int]:
    return "127.0.0.1", int(gateway.address.rsplit(":", 1)[1])


@pytest.fixture(autouse=True)
def still_serves(gateway: Running) -> Iterator[None]:
    yield
    with gateway.client() as client:
        assert client.get(PATH, params={"limit": 1}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"start": "2024-01-02", "end": "2024-01-01"}, "wrong-request"),
        ({"symbols": ",".join(f"X{n}" for n in range(6_000))}, "wrong-request"),
        ({"page_token": "nonsense"}, "wrong-cursor"),
        ({"columns": "price"}, "wrong-request"),
        ({"as_of": "999999"}, "no-such-version"),
        ({"as_of": "yesterday evening"}, "wrong-request"),
        ({"limit": "0"}, "wrong-limit"),
    ],
    ids=["ends before it starts", "many symbols", "cursor", "column", "version", "instant", "limit"],
)
def test_what_makes_no_sense_is_said(client: httpx.Client, asked: dict[str, str], kind: str) -> None:
    problem(client.get(PATH, params=asked), 400, kind)


def test_a_cursor_of_another_query_is_refused(client: httpx.Client) -> None:
    token = client.get(PATH, params={"limit": 5}).json()["next_page_token"]
    problem(client.get(PATH, params={"limit": 5, "page_token": token, "symbols": "BTC"}), 400, "wrong-cursor")


def test_a_body_that_is_no_json_or_too_large(gateway: Running, client: httpx.Client) -> None:
    for body in (
        b"{",
        b"\xff\xfe",
        b"[]",
        b"",
        b'{"entities": []}',
        b'{"entities": [{"symbol": "BTC", "ts": "soon"}]}',
    ):
        answer = client.post("/v1/features/historical", content=body, headers={"Content-Type": "application/json"})
        problem(answer, 422, "wrong-form")
    problem(client.post("/v1/features/historical", content=b" " * (bounds.BODY_BYTES + 1)), 413, "body-too-large")
    pieces = (b" " * 1_000_000 for _ in range(10))  # without a length
    problem(client.post("/v1/features/historical", content=pieces), 413, "body-too-large")


def test_instants_at_the_ends_of_the_calendar_have_no_features(client: httpx.Client) -> None:
    """And those between them are not gone through day by day."""
    moments = ["0001-01-01T00:00:00+05:00", "0001-01-01", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-05:00"]
    entities = [{"symbol": "BTC", "ts": moment} for moment in moments]
    answer = client.post("/v1/features/historical", json={"entities": entities, "columns": ["rsi_14"]})
    assert answer.status_code == 200 and [row["rsi_14"] for row in answer.json()["rows"]] == [None] * 4
    for asked in ({"start": "0001-01-01", "end": "0001-01-01"}, {"start": "9999-12-31", "end": "9999-12-31"}):
        assert client.get(PATH, params=asked).json()["rows"] == []


def test_a_head_that_is_too_large_or_no_http(gateway: Running, client: httpx.Client) -> None:
    million = ",".join(f"X{n}" for n in range(1_000_000))
    problem(raw(gateway, f"GET {PATH}?symbols={million} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), 431, "head-too-large")
    long = f"GET {PATH}?symbols={'X' * 60_000} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    problem(raw(gateway, long), 414, "address-too-long")
    header = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nX-Long: {'a' * 200_000}\r\n\r\n"
    problem(raw(gateway, header.encode()), 431, "head-too-large")
    problem(raw(gateway, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"), 400, "no-http")  # TLS, where there is none


def test_a_head_or_a_body_that_does_not_come(start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.4)
    monkeypatch.setattr(bounds.Limits.__init__, "__defaults__", (bounds.BODY_BYTES, 0.4, bounds.AT_ONCE))
    gateway = start()
    problem(raw(gateway, b"GET /healthz HTTP/1.1\r\nHost"), 408, "head-too-late")
    with socket.create_connection(_place(gateway), 20) as silent:
        assert silent.recv(10) == b"", "a connection that says nothing is closed"
    head = f"POST /v1/features/historical HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\nContent-Type: application/json"
    problem(raw(gateway, f"{head}\r\nContent-Length: 900\r\n\r\n{{".encode()), 408, "body-too-late")


def test_two_thousand_connections_at_once(gateway: Running) -> None:
    """Each is answered, with rows or with a refusal that says when to come back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 8_000:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (8_000 if soft != resource.RLIM_INFINITY else soft, hard))
    request = (
        f"GET {PATH}?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\nConnection: close\r\n\r\n"
    )
    got: dict[socket.socket, bytes] = {}
    with selectors.DefaultSelector() as waiting:
        for _ in range(2_000):
            one = socket.create_connection(_place(gateway), 60)
            got[one] = b""
            waiting.register(one, selectors.EVENT_READ)
        for one in got:
            one.sendall(request.encode())
        while waiting.get_map():
            for key, _ in waiting.select(60):
                one = key.fileobj  # type: ignore[assignment]
                part = one.recv(65536)
                got[one] += part
                if not part:
                    waiting.unregister(one)
                    one.close()
    statuses = [int(answer.split()[1]) for answer in got.values()]
    assert set(statuses) <= {200, 503} and statuses.count(200) >= bounds.AT_ONCE
    for answer in got.values():
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert "rows" in document or (document["type"].endswith("too-busy") and b"retry-after: " in answer)


def test_a_client_that_does_not_read_is_let_go(
    start: Callable[..., Running], large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STALL_S", 4.0)
    gateway = start(at=large)
    request = (
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\nAccept: {ARROW['Accept']}\r\n\r\n"
    )
    slow = []
    for _ in range(12):  # as many as there are places
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(_place(gateway))
        one.sendall(request.encode())
        assert one.recv(1)
        slow.append(one)
    with gateway.client() as client:
        problem(client.get(PATH, headers=ARROW), 503, "too-many-streams")
        assert client.get(PATH, params={"limit": 5}).status_code == 200, "pages need no place"
        ends = time.monotonic() + 30
        while client.get(PATH, headers=ARROW, params={"limit": 5}).status_code != 200:
            assert time.monotonic() < ends, "the places are not given back"
            time.sleep(0.1)
    for one in slow:
        one.close()


def test_a_client_that_goes_away_leaves_its_place(start: Callable[..., Running], large: Path) -> None:
    gateway = start(at=large)
    for _ in range(30):
        with gateway.client() as client, client.stream("GET", PATH, headers=ARROW) as answer:
            if answer.status_code == 200:
                next(answer.iter_raw(1024))
    with gateway.client() as client:
        ends = time.monotonic() + 30
        while client.get(PATH, headers=ARROW, params={"limit": 5}).status_code != 200:
            assert time.monotonic() < ends, "the places are not given back"


def test_the_warehouse_goes_in_mid_answer_and_comes_back(start: Callable[..., Running], large: Path) -> None:
    gateway = start(at=large)
    place, away = large / "warehouse", large / "away"
    with gateway.client() as client:
        with (
            pytest.raises(httpx.RemoteProtocolError),
            client.stream("GET", PATH, headers=ARROW | {"Accept-Encoding": "identity"}) as answer,
        ):
            pieces = answer.iter_raw(4096)
            next(pieces)
            place.rename(away)
            for _ in pieces:
                pass
        problem(client.get(PATH), 503, "warehouse-away")
        problem(client.get("/readyz"), 503, "warehouse-away")
        away.rename(place)
        assert client.get(PATH).status_code == 200


def test_postgres_is_not_there(home: Path, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "crypto_assets_tests.gateway.conftest.build",
        lambda settings, url, **options: build(settings, "postgresql+psycopg2://a:secret@127.0.0.1:1/none", **options),
    )
    with start().client() as client:
        for path in (PATH, "/v1/catalog", "/v1/features/latest", "/v1/features/historical", "/readyz"):
            problem(client.post(path, json={}) if "historical" in path else client.get(path), 503, "postgres-away")
        assert client.get("/healthz").status_code == 200


def test_the_page_needs_no_other_server(client: httpx.Client) -> None:
    """And describes every route."""
    page = client.get("/docs")
    assert (
        page.status_code == 200
        and "<script" not in page.text
        and not re.search(r"(src|href)=.?(https?:)?//", page.text)
    )
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page.text
    assert client.get("/redoc").status_code == 404
