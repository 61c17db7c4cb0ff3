"""Rows over HTTP are the rows of the table, in every format, page by page, and of one version."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import polars as pl
import pyarrow.ipc as arrow_ipc
import pytest
from polars.testing import assert_frame_equal

from crypto_assets.gateway import rows as gateway_rows
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import PRICES
from crypto_assets_tests.gateway.conftest import Running, as_frame
from crypto_assets_tests.store.conftest import MIDNIGHT, days, price_rows

PATH = "/v1/tables/prices/rows"
ARROW, PARQUET, CSV = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet", "text/csv"


def in_order() -> pl.DataFrame:
    return price_rows().sort("date", "symbol", "ts")


def pages(client: httpx.Client, limit: int, **asked: str) -> list[dict[str, object]]:
    """All pages of a query, one after the other."""
    found: list[dict[str, object]] = []
    token = None
    while True:
        answer = client.get(PATH, params={**asked, "limit": limit, **({"page_token": token} if token else {})})
        assert answer.status_code == 200, answer.text
        found += answer.json()["rows"]
        token = answer.json()["next_page_token"]
        if token is None:
            return found
        assert len(answer.json()["rows"]) == limit


@pytest.mark.parametrize("limit", [1_000, 7, 24, 48, 138, 137])
def test_pages_give_every_row_once_and_in_order(client: httpx.Client, limit: int) -> None:
    assert_frame_equal(as_frame(pages(client, limit), in_order()), in_order())


@pytest.mark.parametrize("cells", [1, 500, 4_000_000])
def test_how_much_is_read_at_once_does_not_show(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(gateway_rows, "CELLS", cells)
    assert_frame_equal(as_frame(pages(client, 50), in_order()), in_order())
    stream = client.get(PATH, headers={"Accept": ARROW}).content
    assert_frame_equal(pl.DataFrame(arrow_ipc.open_stream(stream).read_all()), in_order())


def test_every_format_has_the_same_rows(client: httpx.Client) -> None:
    asked = {"symbols": "BTC", "start": "2024-01-01T03:00", "end": "2024-01-02", "columns": "price_usd"}
    expected = in_order().filter(
        pl.col("symbol") == "BTC", pl.col("ts") >= MIDNIGHT + timedelta(hours=3), pl.col("ts") < MIDNIGHT + timedelta(days=2)
    ).select("symbol", "ts", "price_usd")  # fmt: skip
    got = {
        kind: client.get(PATH, params=asked, headers={"Accept": kind})
        for kind in (ARROW, PARQUET, CSV, "application/json")
    }
    for kind, answer in got.items():
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
    assert_frame_equal(pl.DataFrame(arrow_ipc.open_stream(got[ARROW].content).read_all()), expected)
    assert_frame_equal(pl.read_parquet(io.BytesIO(got[PARQUET].content)), expected)
    csv = pl.read_csv(io.BytesIO(got[CSV].content)).to_dicts()
    assert_frame_equal(as_frame(csv, expected), expected)
    assert_frame_equal(as_frame(got["application/json"].json()["rows"], expected), expected)
    assert got["application/json"].json()["version"] == 1


def test_a_parameter_without_a_value_is_not_given(client: httpx.Client) -> None:
    """A client that has no token for the first page sends None, which httpx writes as an empty value."""
    asked = {"symbols": "BTC", "limit": 5}
    nothing = dict.fromkeys(("start", "end", "columns", "as_of", "known_at", "page_token"))
    with_them = client.get(PATH, params={**nothing, **asked})
    assert with_them.request.url.query.count(b"=&") == 6
    assert with_them.status_code == 200 and with_them.json() == client.get(PATH, params=asked).json()
    latest = [
        client.get("/v1/features/latest", params=params)
        for params in ({"symbols": "BTC", "columns": None}, {"symbols": "BTC"})
    ]
    assert latest[0].content == latest[1].content and latest[0].status_code == 200
    assert client.get(PATH, params={"symbols": "BTC="}).status_code == 400, "a value that ends like that is a value"


@pytest.mark.parametrize("kind", [ARROW, PARQUET, CSV])
def test_an_empty_answer_has_its_columns(client: httpx.Client, kind: str) -> None:
    content = client.get(PATH, params={"start": "2030-01-01"}, headers={"Accept": kind}).content
    read = {
        ARROW: lambda: pl.DataFrame(arrow_ipc.open_stream(content).read_all()),
        PARQUET: lambda: pl.read_parquet(io.BytesIO(content)),
        CSV: lambda: pl.read_csv(io.BytesIO(content)),
    }[kind]
    assert read().columns == PRICES.names and read().is_empty()
    assert client.get(PATH, params={"start": "2030-01-01"}).json()["rows"] == []


def test_a_limit_ends_a_stream_and_known_at_leaves_out_the_future(client: httpx.Client) -> None:
    stream = client.get(PATH, params={"limit": "5"}, headers={"Accept": ARROW}).content
    assert_frame_equal(pl.DataFrame(arrow_ipc.open_stream(stream).read_all()), in_order().head(5))
    found = client.get(PATH, params={"symbols": "BTC", "known_at": "2024-01-01T05:09"}).json()["rows"]
    assert [row["ts"][11:13] for row in found] == ["00", "01", "02", "03", "04"]


def test_the_same_answer_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get(PATH, params={"limit": "5"})
    again = client.get(PATH, params={"limit": "5"}, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == first.headers["etag"]
    for other in (
        {"limit": "6"},
        {"limit": "5", "symbols": "BTC"},
        {"limit": "5", "page_token": first.json()["next_page_token"]},
    ):
        assert client.get(PATH, params=other, headers={"If-None-Match": first.headers["etag"]}).status_code == 200
    arrow = client.get(PATH, params={"limit": "5"}, headers={"Accept": ARROW})
    assert arrow.headers["etag"] != first.headers["etag"]


def test_json_is_compressed_for_those_who_accept_it_and_arrow_is_not(client: httpx.Client) -> None:
    assert client.get(PATH).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in client.get(PATH, headers={"Accept": ARROW}).headers
    assert "content-encoding" not in client.get(PATH, headers={"Accept-Encoding": "identity"}).headers


def test_a_cursor_stays_with_its_version_while_the_table_is_written(
    home: Path, tmp_path: Path, start: Callable[..., Running]
) -> None:
    shutil.copytree(home, tmp_path / "copy")
    gateway = start(at=tmp_path / "copy")
    with gateway.client() as client:
        first = client.get(PATH, params={"limit": 100}).json()
        before = datetime.now(timezone.utc)
        while datetime.now(timezone.utc) < before + timedelta(milliseconds=5):
            pass
        Warehouse(str(tmp_path / "copy" / "warehouse")).write(
            PRICES, price_rows().with_columns(pl.col("price_usd") * 2), days()
        )
        rest = client.get(PATH, params={"limit": 100, "page_token": first["next_page_token"]}).json()
        assert (first["version"], rest["version"]) == (1, 1)
        assert_frame_equal(as_frame(first["rows"] + rest["rows"], in_order()), in_order())
        new = client.get(PATH).json()
        assert new["version"] == 2 and new["rows"][0]["price_usd"] == 2 * in_order()["price_usd"][0]
        assert client.get(PATH, params={"as_of": "1"}).json()["rows"][0]["price_usd"] == in_order()["price_usd"][0]
        then = client.get(PATH, params={"as_of": before.isoformat()}).json()
        assert then["version"] == 1


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ({"symbols": "BTX"}, 400, "wrong-request"),
        ({"symbol": "BTC"}, 400, "wrong-request"),
        ({"columns": "prise_usd"}, 400, "wrong-request"),
        ({"start": "2024-01-02", "end": "2024-01-01"}, 400, "wrong-request"),
        ({"start": "Tuesday"}, 400, "wrong-request"),
        ({"as_of": "99"}, 400, "no-such-version"),
        ({"as_of": "2020-01-01"}, 400, "no-such-version"),
        ({"as_of": "2999-01-01"}, 400, "wrong-request"),
        ({"limit": "0"}, 400, "wrong-limit"),
        ({"limit": "10001"}, 400, "wrong-limit"),
        ({"limit": "many"}, 422, "wrong-form"),
        ({"page_token": "zzz"}, 400, "wrong-cursor"),
        ({"page_token": "WzEsMiwzLDRd"}, 400, "wrong-cursor"),
        ({"symbols": ",".join(f"X{n}" for n in range(5_000))}, 400, "wrong-request"),
    ],
)
def test_a_wrong_request_is_a_problem_document(
    client: httpx.Client, asked: dict[str, str], status: int, kind: str
) -> None:
    answer = client.get(PATH, params=asked)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["type"] == f"urn:crypto-assets:problem:{kind}" and said["status"] == status and said["detail"]


def test_a_cursor_of_another_query_is_refused(client: httpx.Client) -> None:
    token = client.get(PATH, params={"limit": 5}).json()["next_page_token"]
    answer = client.get(PATH, params={"limit": 5, "symbols": "BTC", "page_token": token})
    assert answer.status_code == 400 and "another query" in answer.json()["detail"]
    answer = client.get(PATH, params={"page_token": token}, headers={"Accept": CSV})
    assert answer.status_code == 400


def test_unknown_tables_addresses_and_formats(client: httpx.Client) -> None:
    for path, accept, status in [
        ("/v1/tables/price/rows", "*/*", 404),
        ("/v1/tables/..%2F..%2Fetc/rows", "*/*", 404),
        ("/v1/tables/_pins/rows", "*/*", 404),
        ("/v1/table", "*/*", 404),
        (PATH, "image/png", 406),
    ]:
        answer = client.get(path, headers={"Accept": accept})
        assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    assert client.delete(PATH).status_code == 405


def test_a_table_without_rows_is_empty(client: httpx.Client) -> None:
    answer = client.get("/v1/tables/ohlc/rows").json()
    assert answer == {"rows": [], "next_page_token": None, "version": None}
