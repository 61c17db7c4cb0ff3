"""An object store: the same tables as in a folder, settings from the environment, and failures in one sentence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.dates import DAY
from crypto_assets.errors import CryptoAssetsError, UsageError, WarehouseError
from crypto_assets.storage import object_store as store
from crypto_assets.storage.sql import query
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import NEWS_ARTICLES, PRICES
from crypto_assets_tests.storage.test_warehouse import articles, rows

START = date(2024, 1, 1)


def fill(warehouse: Warehouse) -> Warehouse:
    wanted = [START + DAY * n for n in range(3)]
    warehouse.write(PRICES, pl.concat(rows(day) for day in wanted), wanted)
    warehouse.write(PRICES, rows(START, price=7.0, count=5), [START])
    warehouse.write(NEWS_ARTICLES, articles(START, "a", "b"), [START])
    return warehouse


def test_a_folder_and_a_store_give_identical_tables(bucket: str, tmp_path: Path) -> None:
    here, there = fill(Warehouse(str(tmp_path / "w"))), fill(Warehouse(f"{bucket}/deep/er"))
    for table in ("prices", "news_articles", "ohlc"):
        assert here.content_hash(table) == there.content_hash(table)
        assert here.version(table) == there.version(table)
        assert here.days_with_rows(table, START, START + DAY * 9) == there.days_with_rows(table, START, START + DAY * 9)
        statement = f"select * from {table} order by all"
        assert query(here, statement).equals(query(there, statement))


def test_the_environment_is_read_at_each_use() -> None:
    env = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    found = store.options("s3://lake/tables", env)
    assert (found["aws_conditional_put"], found["aws_allow_http"]) == ("etag", "true")
    assert (found["aws_region"], found["aws_endpoint_url"]) == ("eu-north-1", "http://127.0.0.1:9000")
    assert "x" not in found.values(), "credentials stay where they are"
    assert "aws_allow_http" not in store.options("s3://lake", {"AWS_ENDPOINT_URL": "https://store.example"})
    assert store.options("/var/lake", env) == {}
    assert store.for_polars("/var/lake", env) is None


class Refusing(BaseHTTPRequestHandler):
    """Answers everything with one S3 error."""

    code, status = "", 403

    def do_GET(self) -> None:
        body = f'<?xml version="1.0"?><Error><Code>{self.code}</Code><Message>no</Message></Error>'.encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def refusing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Refusing]]:
    handler = type("Handler", (Refusing,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("code", store.REASONS)
def test_what_the_store_refuses_is_one_sentence(refusing: type[Refusing], code: str) -> None:
    refusing.code = code
    with pytest.raises(WarehouseError) as caught:
        Warehouse("s3://lake/tables").read("prices")
    assert store.REASONS[code] in str(caught.value)
    assert not any(unwanted in str(caught.value) for unwanted in ("\n", "\x1b", "test-secret"))


def test_a_store_that_is_away_is_one_sentence_soon(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for use in (
        lambda w: w.read("prices"),
        lambda w: w.write(PRICES, rows(START), [START]),
        lambda w: query(w, "from prices"),
    ):
        with pytest.raises(CryptoAssetsError, match=r"Connection refused.*AWS_ENDPOINT_URL") as caught:
            use(Warehouse(bucket))
        assert "\n" not in str(caught.value)
        assert "\x1b" not in str(caught.value)


def test_a_bucket_that_is_not_there_and_credentials_that_are_not(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WarehouseError, match="the bucket does not exist"):
        Warehouse("s3://nobody-made-this").write(PRICES, rows(START), [START])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(WarehouseError, match="Missing AccessKeyId"):
        Warehouse(bucket).read("prices")


@pytest.mark.parametrize("uri", ["s3://lake/a#b", "s3://lake/a?b"])
def test_an_address_that_would_be_cut_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="s3://BUCKET/FOLDER"):
        Warehouse(uri)


def test_a_full_disk_is_named() -> None:
    assert store.reason(OSError(28, "No space left on device")) == "[Errno 28] No space left on device"
    trace = "Truncated record whilst reading null\n   0: <unknown>\n  12: start_thread\n    at ./nptl/pthread_create.c:442:8"
    assert store.reason(OSError(trace)) == "Truncated record whilst reading null"
