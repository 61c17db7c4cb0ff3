"""The wire formats of the sandbox field by field: types, times, paging, refusals."""

from __future__ import annotations

import base64
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from crypto_assets.catalog import all_coins
from crypto_assets.errors import InstanceError
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.sources import coingecko
from crypto_assets.sources.client.http import SANDBOX_HEADER
from crypto_assets_tests.sandbox.test_generator import (
    CHART,
    COINS,
    DAY,
    HOUR,
    KLINES,
    METRICS,
    NOW,
    UTC,
    ask,
    at,
    read,
    settings,
)
from crypto_assets_tests.sources.wire_server import fetch

OHLC, KRAKEN = "/api/v3/coins/bitcoin/ohlc/range", "/0/public/OHLC"
ALL_DAYS = range(at(2017, 1, 1), at(2024, 6, 1) + 1, DAY)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(now=NOW) as running:
        yield running


def test_coingecko_chart_points_are_numbers_stamped_in_ms_some_seconds_after_the_hour(sandbox: Sandbox) -> None:
    body = ask(sandbox, CHART, vs_currency="usd", **{"from": at(2024, 5, 1), "to": at(2024, 5, 2)})  # type: ignore[arg-type]
    assert list(body) == ["prices", "market_caps", "total_volumes"]
    stamps = [stamp for stamp, _ in body["prices"]]
    assert [stamp // (HOUR * 1000) for stamp in stamps] == [at(2024, 5, 1) // HOUR + n for n in range(24)]
    assert all(type(stamp) is int and 0 < stamp % (HOUR * 1000) <= 40_000 for stamp in stamps)
    for series in body.values():
        assert [stamp for stamp, _ in series] == stamps
        assert all(type(value) is float and value > 0 for _, value in series)
    iso: dict[str, Any] = {"from": "2024-05-01T00:00:00Z", "to": "2024-05-02"}
    assert ask(sandbox, CHART, **iso) == body, "the provider recommends ISO bounds"


def test_coingecko_chooses_the_granularity_that_was_not_asked_for(sandbox: Sandbox) -> None:
    def steps(days: int, **more: Any) -> set[int]:
        window = {"from": at(2024, 5, 1) - days * DAY, "to": at(2024, 5, 1)}
        points = [stamp // 1000 // HOUR for stamp, _ in ask(sandbox, CHART, **window, **more)["prices"]]
        return {later - earlier for earlier, later in pairwise(points)}

    assert steps(90) == {1} == steps(100, interval="hourly")
    assert steps(91) == {24}


def test_coingecko_refuses_unknown_coins_and_ranges_too_long(sandbox: Sandbox) -> None:
    for route in ("market_chart/range", "ohlc/range"):
        unknown = ask(sandbox, f"/api/v3/coins/no-such-coin/{route}", 404, **{"from": 1, "to": 2})
        assert unknown == {"error": "coin not found"}
    for path, days in ((CHART, 101), (OHLC, 33)):
        window = {"from": at(2024, 5, 1) - days * DAY, "to": at(2024, 5, 1)}
        status = ask(sandbox, path, 401, interval="hourly", **window)["error"]["status"]
        assert status["error_code"] == 10012 and isinstance(status["error_message"], str)


def test_coingecko_candles_are_five_numbers_stamped_with_their_close(sandbox: Sandbox) -> None:
    candles = ask(sandbox, OHLC, interval="hourly", **{"from": at(2024, 5, 1), "to": at(2024, 5, 1, 23)})
    klines = ask(sandbox, KLINES, symbol="BTCUSDT", startTime=(at(2024, 5, 1) - HOUR) * 1000, limit=24)
    assert all(type(row[0]) is int and all(type(value) is float for value in row[1:]) for row in candles)
    assert candles == [[row[0] + HOUR * 1000, *map(float, row[1:5])] for row in klines]


def test_coingecko_markets_and_list(sandbox: Sandbox) -> None:
    asked: dict[str, Any] = {"vs_currency": "usd", "ids": "bitcoin,no-such-coin,ethereum"}
    bitcoin, ether = ask(sandbox, "/api/v3/coins/markets", **asked)
    assert (bitcoin["id"], bitcoin["symbol"], bitcoin["name"]) == ("bitcoin", "btc", "Bitcoin")
    assert all(type(bitcoin[name]) is float for name in ("current_price", "market_cap", "total_volume"))
    assert datetime.strptime(bitcoin["last_updated"], "%Y-%m-%dT%H:%M:%S.000Z").date() == NOW.date()
    assert ask(sandbox, "/api/v3/coins/markets", **asked, per_page=1, page=2) == [ether]
    listed = {row["id"]: row for row in ask(sandbox, "/api/v3/coins/list")}
    assert listed["ripple"] == {"id": "ripple", "symbol": "xrp", "name": "XRP"}
    assert set(listed) == {coin.coingecko for coin in all_coins() if coin.coingecko}
    assert "gecko_says" in ask(sandbox, "/api/v3/ping")
    found = fetch(lambda client: coingecko.fetch_markets(client, settings(sandbox), COINS)).frame
    assert list(found["symbol"]) == ["BTC", "ETH", "SOL"] and set(found["source"]) == {"sandbox/coingecko"}


def test_binance_rows_have_ms_times_and_numbers_as_strings(sandbox: Sandbox) -> None:
    first = at(2024, 5, 1) * 1000
    body = ask(sandbox, KLINES, symbol="ETHUSDT", interval="1h", startTime=first, endTime=first + 2 * HOUR * 1000)
    assert [row[0] for row in body] == [first + n * HOUR * 1000 for n in range(3)], "both ends included"
    for row in body:
        assert [type(value) for value in row] == [int, *[str] * 5, int, str, int, *[str] * 3]
        assert row[6] == row[0] + HOUR * 1000 - 1
        assert float(row[7]) == pytest.approx(float(row[5]) * float(row[4]), rel=1e-9)
    assert ask(sandbox, "/binance/api/v3/ping") == {}


def test_binance_gives_500_rows_unasked_and_1000_at_most(sandbox: Sandbox) -> None:
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1h", "startTime": at(2024, 1, 1) * 1000}
    assert len(ask(sandbox, KLINES, **asked)) == 500
    assert len(ask(sandbox, KLINES, **asked, limit=5000)) == 1000
    assert [row[0] for row in ask(sandbox, KLINES, **asked, limit=2)] == [at(2024, 1, 1, n) * 1000 for n in (0, 1)]


@pytest.mark.parametrize("asked", [{"symbol": "NOPEUSDT"}, {"symbol": "btcusdt"}, {}])
def test_binance_refuses_an_unknown_symbol(sandbox: Sandbox, asked: dict[str, Any]) -> None:
    assert ask(sandbox, KLINES, 400, **asked) == {"code": -1121, "msg": "Invalid symbol."}


def test_kraken_gives_its_newest_720_candles_the_last_in_progress(sandbox: Sandbox) -> None:
    body = ask(sandbox, KRAKEN, pair="XBTUSD", interval=60, since=at(2023, 1, 1))
    assert body["error"] == []
    (name,) = set(body["result"]) - {"last"}
    candles = body["result"][name]
    hours = [row[0] for row in candles]
    assert hours == [at(2024, 6, 1, 12) - HOUR * n for n in reversed(range(720))]
    assert body["result"]["last"] == hours[-2], "the last committed candle, not the one in progress"
    assert all([type(value) for value in row] == [int, *[str] * 6, int] for row in candles)
    later = ask(sandbox, KRAKEN, pair="XBTUSD", interval=60, since=hours[-3])["result"][name]
    assert later == candles[-2:], "since is exclusive"


@pytest.mark.parametrize("pair", ["BTCUSD", "NOPEUSD", ""])
def test_kraken_errors_are_an_envelope_with_status_200(sandbox: Sandbox, pair: str) -> None:
    assert ask(sandbox, KRAKEN, pair=pair, interval=60) == {"error": ["EQuery:Unknown asset pair"]}


def test_kraken_calls_bitcoin_xbt(sandbox: Sandbox) -> None:
    pairs = ask(sandbox, "/0/public/AssetPairs")
    altnames = {pair["altname"] for pair in pairs["result"].values()}
    assert pairs["error"] == [] and altnames >= {"XBTUSD", "ETHUSD"} and "BTCUSD" not in altnames
    assert ask(sandbox, "/0/public/SystemStatus")["result"]["status"] == "online"


def test_coinmetrics_numbers_are_strings_and_a_metric_that_is_not_there_an_absent_key(sandbox: Sandbox) -> None:
    asked: dict[str, Any] = {"assets": "btc,eth", "metrics": "TxCnt,HashRate,PriceUSD,AssetEODCompletionTime"}
    body = ask(sandbox, METRICS, **asked, start_time="2024-05-01", end_time="2024-05-02")
    assert list(body) == ["data"]
    days = ["2024-05-01T00:00:00.000000000Z", "2024-05-02T00:00:00.000000000Z"]
    assert [(row["asset"], row["time"]) for row in body["data"]] == [(a, day) for a in ("btc", "eth") for day in days]
    for row in body["data"]:
        metrics = {"TxCnt", "PriceUSD", "AssetEODCompletionTime"} | ({"HashRate"} if row["asset"] == "btc" else set())
        assert set(row) == {"asset", "time"} | metrics
        assert all(type(row[name]) is str and float(row[name]) > 0 for name in metrics)
        over = datetime.fromisoformat(row["time"][:10]).replace(tzinfo=UTC).timestamp() + DAY
        assert over < int(row["AssetEODCompletionTime"]) < over + DAY


def test_coinmetrics_pages_to_the_end_by_token(sandbox: Sandbox) -> None:
    asked: dict[str, Any] = {"assets": "btc,eth", "metrics": "TxCnt", "start_time": "2024-05-01"}
    asked["end_time"] = "2024-05-05"
    whole, gathered, sizes = ask(sandbox, METRICS, **asked), [], []
    page: dict[str, Any] = {"next_page_token": None}
    while "next_page_token" in page:
        token = {"next_page_token": page["next_page_token"]} if page["next_page_token"] else {}
        page = ask(sandbox, METRICS, **asked, page_size=4, **token)
        gathered += page["data"]
        sizes.append(len(page["data"]))
        head, _, text = page.get("next_page_token", "0.MA").partition(".")
        assert head == "0" and "=" not in text and base64.b64decode(text + "=" * (-len(text) % 4))
    assert sizes == [4, 4, 2] and gathered == whole["data"]
    unasked = ask(sandbox, METRICS, assets="btc", metrics="TxCnt")
    assert len(unasked["data"]) == 100 and "next_page_token" in unasked


def test_coinmetrics_names_the_asset_that_it_does_not_know(sandbox: Sandbox) -> None:
    body = ask(sandbox, METRICS, 400, assets="btc,sdvwbtc", metrics="TxCnt")
    message = "Bad parameter 'assets'. Value 'sdvwbtc' is not supported."
    assert body == {"error": {"type": "bad_parameter", "message": message}}


@pytest.mark.parametrize("chain", ["", "/Ethereum"])
def test_defillama_tvl_is_numbers_by_day_in_seconds(sandbox: Sandbox, chain: str) -> None:
    body = ask(sandbox, f"/v2/historicalChainTvl{chain}")
    assert all(set(row) == {"date", "tvl"} and type(row["date"]) is int and type(row["tvl"]) is float for row in body)
    assert [row["date"] for row in body] == list(ALL_DAYS)


def test_defillama_stablecoins_have_their_date_as_text(sandbox: Sandbox) -> None:
    body = ask(sandbox, "/stablecoincharts/all")
    assert all(type(row["date"]) is str for row in body)
    assert [int(row["date"]) for row in body] == list(ALL_DAYS)
    assert all(type(row["totalCirculatingUSD"]["peggedUSD"]) is float for row in body)


def test_fear_and_greed_is_strings_newest_first(sandbox: Sandbox) -> None:
    body = ask(sandbox, "/fng/", limit=0)
    assert body["metadata"] == {"error": None} and isinstance(body["name"], str)
    assert all(type(row[name]) is str for row in body["data"] for name in ("value", "timestamp"))
    assert [int(row["timestamp"]) for row in body["data"]] == list(reversed(ALL_DAYS))
    assert all(0 <= int(row["value"]) <= 100 for row in body["data"])
    assert ask(sandbox, "/fng/")["data"] == body["data"][:1]
    assert ask(sandbox, "/fng/", limit=3)["data"] == body["data"][:3]


def test_rss_and_atom_list_the_newest_first(sandbox: Sandbox) -> None:
    atom = "{http://www.w3.org/2005/Atom}"
    kinds = set()
    for name in sandbox.backend.feeds():
        answer = httpx.get(f"{sandbox.url}/rss/{name}")
        assert answer.headers["content-type"].startswith("application/xml")
        root = ElementTree.fromstring(answer.content)
        kinds.add(root.tag)
        if root.tag == f"{atom}feed":
            moments = [datetime.fromisoformat(e.findtext(f"{atom}published", "")) for e in root.iter(f"{atom}entry")]
            titles = [entry.findtext(f"{atom}title") for entry in root.iter(f"{atom}entry")]
        else:
            assert root.get("version") == "2.0"
            moments = [parsedate_to_datetime(item.findtext("pubDate", "")) for item in root.iter("item")]
            titles = [item.findtext("title") for item in root.iter("item")]
        assert len(moments) > 100 and moments == sorted(moments, reverse=True) and all(titles)
        assert NOW - timedelta(days=60) <= moments[-1] and moments[0] <= NOW
    assert kinds == {"rss", f"{atom}feed"}, "both kinds are served"


@pytest.mark.parametrize("path", ["/rss/no-such-feed", "/no/such/route"])
def test_what_is_not_served_is_refused_and_marked(sandbox: Sandbox, path: str) -> None:
    answer = httpx.get(f"{sandbox.url}{path}")
    assert (answer.status_code, answer.headers[SANDBOX_HEADER]) == (404, "sandbox")


def test_requests_are_counted_by_path_and_env_names_every_provider() -> None:
    with Sandbox(now=NOW) as own:
        read(own, "ohlc", OHLC_SOURCES="kraken")
        assert own.requests == {KRAKEN: len(COINS)}
        config = settings(own)
    # Seventeen addresses of providers, Ollama, the feeds of news and of posts.
    assert json.dumps(own.env()).count(own.url) == 18 + len(config.news_feeds) + len(config.social_feeds)
    assert config.stablecoins_base_url == config.defillama_base_url == own.url


def test_a_port_in_use_is_an_error_and_free_again_afterwards() -> None:
    with Sandbox(now=NOW) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(InstanceError, match=rf"port {port} on 127\.0\.0\.1 is in use .*give another --port"):
            Sandbox(port=port)
    with pytest.raises(httpx.ConnectError):
        httpx.get(first.url)
