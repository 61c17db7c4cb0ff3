"""Faults on demand: what a SPEC means, what it does to a route, and how our sources take it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pandas as pd
import pytest

from crypto_assets.errors import SourceError, UsageError
from crypto_assets.sandbox.faults import Rule, parse
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.sources.client.http import SANDBOX_HEADER
from crypto_assets_tests.sandbox.test_generator import CHART, KLINES, METRICS, NOW, ask, at, read, rows

KRAKEN, FNG, TVL = "/0/public/OHLC", "/fng/", "/v2/historicalChainTvl"
# Table, a part of its route, how the error names the provider: every source that must not write what is broken.
ROUTES = [
    ("prices", "market_chart", "coingecko"),
    ("ohlc", "klines", "binance"),
    ("onchain_base", "asset-metrics", "coinmetrics"),
    ("defi_metrics", "historicalChainTvl", "defillama"),
    ("defi_metrics", "stablecoincharts", "defillama"),
    ("market_sentiment", "fng", "alternative_me"),
]
PING = "/api/v3/ping"


def get(sandbox: Sandbox, path: str, **params: Any) -> httpx.Response:
    return httpx.get(f"{sandbox.url}{path}", params=params)


def klines(sandbox: Sandbox) -> list[list[Any]]:
    body = ask(sandbox, KLINES, symbol="BTCUSDT", startTime=at(2024, 5, 1) * 1000, limit=7)
    assert isinstance(body, list)
    return body


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        ("", []),
        (None, []),
        (" ; ;", []),
        ("status=503", [Rule(status=503)]),
        ("route=klines,status=503,rate=0.2;route=*,delay=1.5", [Rule("klines", 0.2, status=503), Rule("*", delay=1.5)]),
        (" route = fng , count = 2 , html = 1 ", [Rule("fng", count=2, html=1)]),
        ("status=429,retry_after=7", [Rule(status=429, retry_after=7)]),
        ("cut=1;malformed=1;duplicate=1", [Rule(cut=1), Rule(malformed=1), Rule(duplicate=1)]),
        ("gap=3;empty=1;", [Rule(gap=3), Rule(empty=1)]),
    ],
)
def test_a_spec_is_rules(spec: str | None, rules: list[Rule]) -> None:
    assert parse(spec) == rules


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("bad", "'bad' is unknown"),
        ("satus=503", "'satus=503' is unknown"),
        ("status=503,", "'' is unknown"),
        ("=503", "'=503' is unknown"),
        ("ROUTE=fng", "'ROUTE=fng' is unknown"),
        ("status=often", "status='often' is not a number"),
        ("status=", "status='' is not a number"),
        ("count=1.5", "count='1.5' is not a number"),
        ("status=503;rate=high", "rate='high' is not a number"),
        ("delay=1s", "delay='1s' is not a number"),
    ],
)
def test_a_spec_that_cannot_be_read_is_one_sentence(spec: str, says: str) -> None:
    for read_it in (parse, lambda text: Sandbox(fault=text)):
        with pytest.raises(UsageError) as error:
            read_it(spec)
        assert "--fault" in str(error.value) and says in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_option_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="route, rate, count, status, retry_after, html, delay, cut, malformed"):
        parse("timeout=3")


def test_a_status_with_its_retry_after_hits_its_route_only() -> None:
    with Sandbox(now=NOW, fault="route=klines,status=429,retry_after=7") as sandbox:
        answer = get(sandbox, KLINES, symbol="BTCUSDT")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert answer.json()["status"]["error_code"] == 429
        assert answer.headers[SANDBOX_HEADER] == "sandbox", "a fault is the sandbox's too"
        assert get(sandbox, KRAKEN, pair="XBTUSD").status_code == get(sandbox, PING).status_code == 200
    with Sandbox(now=NOW, fault="status=500") as sandbox:  # no route: every one
        answers = [get(sandbox, path) for path in (PING, FNG, TVL, "/rss/coindesk", "/no/such/route")]
        assert [answer.status_code for answer in answers] == [500] * 5
        assert "Retry-After" not in answers[0].headers


def test_a_count_is_the_first_requests_of_its_route() -> None:
    with Sandbox(now=NOW, fault="route=fng,status=503,count=2") as sandbox:
        assert get(sandbox, PING).status_code == 200
        assert [get(sandbox, FNG).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_the_seed_decides_which_requests_a_rate_hits() -> None:
    def hits(seed: int, rate: float) -> list[bool]:
        fault = f"route=ping,status=503,rate={rate}"
        # One client for all requests: making one takes longer than the request.
        with Sandbox(now=NOW, seed=seed, fault=fault) as sandbox, httpx.Client() as client:
            return [client.get(f"{sandbox.url}{PING}").status_code == 503 for _ in range(80)]

    first = hits(1, 0.3)
    assert first == hits(1, 0.3) != hits(2, 0.3)
    assert 10 <= sum(first) <= 40, "about 24 of 80"
    assert not any(hits(1, 0)) and all(hits(1, 1))


def test_html_comes_with_200_or_the_given_status() -> None:
    with Sandbox(now=NOW, fault="route=fng,html=1;route=klines,html=1,status=403") as sandbox:
        for path, status in ((FNG, 200), (KLINES, 403)):
            answer = get(sandbox, path)
            assert (answer.status_code, answer.headers["content-type"][:9]) == (status, "text/html")
            assert answer.text.startswith("<html>")


def test_a_malformed_body_is_half_of_it_and_a_cut_one_breaks_off() -> None:
    with Sandbox(now=NOW) as sandbox:
        whole = get(sandbox, FNG, limit=9).content
    with Sandbox(now=NOW, fault="malformed=1") as sandbox:
        answer = get(sandbox, FNG, limit=9)
        assert (answer.status_code, answer.content) == (200, whole[: len(whole) // 2])
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    with (
        Sandbox(now=NOW, fault="cut=1") as sandbox,
        pytest.raises(httpx.RemoteProtocolError, match="closed connection"),
    ):
        get(sandbox, FNG, limit=9)


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("duplicate=1", lambda whole: [row for row in whole for _ in range(2)]),
        ("gap=3", lambda whole: [row for n, row in enumerate(whole) if n % 3]),
        ("empty=1", lambda whole: []),
    ],
)
def test_rows_double_go_missing_or_are_gone_in_every_wire_format(
    fault: str, change: Callable[[list[Any]], list[Any]]
) -> None:
    asked: dict[str, dict[str, Any]] = {
        CHART: {"from": at(2024, 5, 1), "to": at(2024, 5, 2)},
        METRICS: {"assets": "btc", "metrics": "TxCnt", "start_time": "2024-05-01"},
        FNG: {"limit": 9},
        TVL: {},
    }
    with Sandbox(now=NOW) as right, Sandbox(now=NOW, fault=fault) as wrong:
        assert klines(wrong) == change(klines(right))
        for path, params in asked.items():
            good, bad = ask(right, path, **params), ask(wrong, path, **params)
            if isinstance(good, list):
                assert bad == change(good), path
                continue
            assert list(bad) == list(good), "the shape stays"
            assert bad == {n: change(v) if isinstance(v, list) else v for n, v in good.items()}, path
        good, bad = (ask(s, KRAKEN, pair="XBTUSD")["result"] for s in (right, wrong))
        assert {**good, "XBTUSD": change(good["XBTUSD"])} == bad


@pytest.mark.parametrize(("table", "route", "provider"), ROUTES)
@pytest.mark.parametrize("fault", ["status=503,retry_after=0", "cut=1", "malformed=1"])
def test_sources_heal_by_asking_again(table: str, route: str, provider: str, fault: str) -> None:
    with Sandbox(now=NOW) as right, Sandbox(now=NOW, fault=f"route={route},{fault},count=1") as shaky:
        whole, healed = read(right, table), read(shaky, table)
        assert healed.calls == whole.calls + 1, "the fault was met"
    pd.testing.assert_frame_equal(rows(table, healed), rows(table, whole))


@pytest.mark.parametrize(("table", "route", "provider"), ROUTES)
@pytest.mark.parametrize(
    ("fault", "says", "transient"),
    [
        ("status=403", "HTTP 403", False),
        ("status=503,retry_after=0", "HTTP 503", True),
        ("html=1", "HTML instead of JSON", False),
        ("malformed=1", "malformed JSON", True),
        ("cut=1", "did not answer", True),
    ],
)
def test_sources_fail_with_provider_and_route(
    table: str, route: str, provider: str, fault: str, says: str, transient: bool
) -> None:
    with Sandbox(now=NOW, fault=f"route={route},{fault}") as broken, pytest.raises(SourceError) as error:
        read(broken, table)
    sentence = str(error.value)
    assert provider in sentence and route in sentence and says in sentence and "\n" not in sentence
    assert error.value.transient is transient


def test_a_wait_longer_than_patience_is_an_error_at_once() -> None:
    with Sandbox(now=NOW, fault="route=fng,status=429,retry_after=9999") as broken:
        with pytest.raises(SourceError, match="HTTP 429"):
            read(broken, "market_sentiment")
        assert broken.requests[FNG] == 1


@pytest.mark.parametrize("table", ["prices", "ohlc", "onchain_base", "defi_metrics", "market_sentiment"])
def test_doubled_rows_arrive_once(table: str) -> None:
    with Sandbox(now=NOW) as right, Sandbox(now=NOW, fault="duplicate=1") as double:
        whole, found = rows(table, read(right, table)), rows(table, read(double, table))
    pd.testing.assert_frame_equal(found, whole)


def test_missing_bars_stay_missing() -> None:
    with Sandbox(now=NOW) as right, Sandbox(now=NOW, fault="route=klines,gap=6") as holey:
        whole, found = rows("ohlc", read(right, "ohlc")), rows("ohlc", read(holey, "ohlc"))
    kept = whole.merge(found, how="inner")
    assert len(kept) == len(found), "every row that is there is right"
    assert set(whole["ts"].dt.hour) - set(found["ts"].dt.hour) >= {0, 6, 12, 18}, "none was filled"


@pytest.mark.parametrize("route", ["historicalChainTvl", "stablecoincharts", "fng", "asset-metrics"])
def test_an_empty_list_is_not_an_empty_day(route: str) -> None:
    table = next(table for table, part, _ in ROUTES if part == route)
    with Sandbox(now=NOW, fault=f"route={route},empty=1") as empty, pytest.raises(SourceError):
        read(empty, table)


def test_a_venue_without_a_bar_is_no_empty_day_but_the_next_ones_turn() -> None:
    with Sandbox(now=NOW) as right, Sandbox(now=NOW, fault="route=klines,empty=1") as empty:
        whole, found = read(right, "ohlc"), read(empty, "ohlc")
    assert set(found.frame["symbol"]) | set(found.failed) >= set(whole.frame["symbol"]), "nobody vanishes"
    assert len(found.frame) and not found.frame["source"].str.contains("binance").any()
    with Sandbox(now=NOW, fault="route=klines,empty=1;route=OHLC,empty=1") as both, pytest.raises(SourceError):
        read(both, "ohlc")


def test_a_feed_that_breaks_is_its_own_affair_until_all_do() -> None:
    with Sandbox(now=NOW, fault="route=rss/coindesk,status=403") as one:
        found = read(one, "news_articles")
        assert "HTTP 403" in found.missing["coindesk"] and "coindesk" not in set(found.frame["feed"])
        assert len(set(found.frame["feed"])) == 4
    for fault, says in (("status=403", "HTTP 403"), ("cut=1", "did not answer"), ("malformed=1", "cut off")):
        with (
            Sandbox(now=NOW, fault=f"route=rss,{fault}") as broken,
            pytest.raises(SourceError, match="news feeds") as error,
        ):
            read(broken, "news_articles")
        assert says in str(error.value)


def test_a_delay_comes_before_the_answer_and_does_not_change_it() -> None:
    with Sandbox(now=NOW) as right, Sandbox(now=NOW, fault="route=klines,delay=0.3") as slow:
        assert klines(slow) == klines(right)
        with pytest.raises(httpx.ReadTimeout):  # the client's own time-out is the witness: no clock is read here
            httpx.get(f"{slow.url}{KLINES}", params={"symbol": "BTCUSDT"}, timeout=httpx.Timeout(10, read=0.05))
