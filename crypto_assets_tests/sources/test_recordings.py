"""Every recorded answer parses to rows that equal what the file says, worked out here from the file alone.

No file is left out in silence: each is read by a source, or named below with the reason why none reads it.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from crypto_assets.catalog import by_symbol
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.sources import (
    alternative_me,
    coingecko,
    coingecko_context,
    coinmetrics,
    defillama,
    defillama_snapshots,
    kraken,
)
from crypto_assets.sources.client.http import Client, parse_json
from crypto_assets.sources.fetched import SetAsideLog
from crypto_assets_tests.sources import parsed
from crypto_assets_tests.sources.wire_server import Reply, fetch, serve

UTC = timezone.utc
BTC, ETH = by_symbol()["BTC"], by_symbol()["ETH"]
LATER = datetime(2026, 12, 31, tzinfo=UTC)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst", "RATE_LIMITS": "coingecko=1000000/1"}
Call = Callable[[Client, Any], Any]

UNREAD = {
    "coingecko/global.json": "totals of the whole market are no table",
    "coingecko/pro_news.json": "news come from the newsrooms' own feeds",
    "coingecko/pro_simple_price.json": "pages of /coins/markets say more for the same call",
    "cryptocompare/historical_hours.json": "no source of ours",
    "defillama/coins_prices_current.json": "prices come from CoinGecko",
    "defillama/stablecoins.json": "the day's supply by coin; the history by chain is read from /stablecoincharts",
    "defillama/stablecoins_spec.json": "the same route",
    "defillama/v2_chains.json": "the present of what /v2/historicalChainTvl gives with its history",
    "kraken/asset_pairs.json": "the catalogue names each coin's pair, and an answer of OHLC says when it is none",
    "kraken/ticker.json": "the newest candle says more",
    "kraken/ticker_assetVersion1.json": "the same route",
    "kraken/system_status.json": "doctor asks for a candle instead, which says more",
    "coinmetrics/catalog_v2_asset_metrics.json": "ignore_unsupported_errors makes the catalogue needless",
}


def ask(body: bytes, call: Call, status: int = 200) -> Any:
    with serve(lambda _: Reply(body, status)) as server:
        return fetch(lambda client: call(client, server.settings(**PRO)))


def ms(value: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)


def chart(path: Path) -> None:
    body = json.loads(path.read_text())
    expected = {}
    for (stamp, price), (_, cap), (_, volume) in zip(
        *(body[n] for n in ("prices", "market_caps", "total_volumes")), strict=True
    ):
        expected.setdefault(stamp // 3_600_000, (ms(stamp), price, cap, volume))
    found = parsed.market_chart(body, "BTC")
    assert {int(ts.timestamp()) // 3600: tuple(rest) for ts, *rest in found} == expected


def markets(path: Path) -> None:
    rows = ask(path.read_bytes(), lambda c, s: coingecko.fetch_markets(c, s, (BTC, ETH))).frame.to_dict("records")
    said = [
        (
            "BTC",
            e["current_price"],
            e["market_cap"],
            e["total_volume"],
            e["market_cap_rank"],
            e["last_updated"].replace("Z", "000+00:00"),
        )
        for e in json.loads(path.read_text())
    ]
    names = ("symbol", "price_usd", "market_cap_usd", "volume_24h_usd", "rank")
    assert [
        (*(row[n] for n in names), row["available_at"].strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")) for row in rows
    ] == said


def derivatives(path: Path) -> None:
    entries = [e for e in json.loads(path.read_text()) if e["contract_type"] == "perpetual" and not e["expired_at"]]
    frame = ask(path.read_bytes(), lambda c, s: coingecko_context.fetch_derivatives(c, s, (BTC, ETH), LATER)).frame
    for row in frame.to_dict("records"):
        mine = [e for e in entries if e["index_id"] == row["symbol"] and e["open_interest"]]
        interest = sum(e["open_interest"] for e in mine)
        assert row["contracts"] == len(mine) > 0
        assert row["open_interest_usd"] == pytest.approx(interest)
        assert row["volume_24h_usd"] == pytest.approx(sum(e["volume_24h"] for e in mine))
        for name in ("funding_rate", "basis"):
            weighted = sum(e[name] / 100 * e["open_interest"] for e in mine) / interest
            assert row[name] == pytest.approx(weighted)
    assert set(frame["symbol"]) == {e["index_id"] for e in entries if e["open_interest"]} & {"BTC", "ETH"}


def history(path: Path) -> None:
    body = json.loads(path.read_text())
    social, developer = coingecko_context.parse_history(body, "BTC", date(2024, 1, 1))
    said = body.get("community_data") or {}
    has_reddit = bool(said.get("reddit_subscribers"))
    expected = [
        said.get(n) if has_reddit or not n.startswith("reddit") else None for n in coingecko_context.SOCIAL.values()
    ]
    assert social == expected
    code = body.get("developer_data") or {}
    lines = code.get("code_additions_deletions_4_weeks") or {}
    deletions = lines.get("deletions")
    assert developer == [
        *(code.get(n) for n in coingecko_context.DEVELOPER.values()),
        lines.get("additions"),
        None if deletions is None else abs(deletions),
    ]


def candles(path: Path) -> None:
    """Stamped with their close; ours is their open, an hour earlier. The recorded ones are hours apart: together they
    must not pass as hours, so each is read by itself."""
    body = json.loads(path.read_text())
    first, last = ms(body[0][0]).date(), ms(body[-1][0]).date()
    start = first - timedelta(days=1)

    def read(rows: list[Any]) -> Any:
        return ask(json.dumps(rows).encode(), lambda c, s: coingecko.fetch_ohlc(c, s, BTC, start, last, LATER)).rows

    assert [row[:5] for one in body for row in read([one])] == [(ms(t) - timedelta(hours=1), *v) for t, *v in body]
    with pytest.raises(SourceError, match="four hours or more where hourly ones were asked"):
        read(body)


def key(path: Path) -> None:
    body = json.loads(path.read_text())
    usage = ask(path.read_bytes(), lambda c, s: coingecko_context.fetch_key(c, s))
    assert (usage.plan, usage.calls_per_minute, usage.credits) == (
        body["plan"], body["rate_limit_request_per_minute"], body["monthly_call_credit"],
    )  # fmt: skip
    assert (usage.used, usage.left) == (body["current_total_monthly_calls"], body["current_remaining_monthly_calls"])


def ping(path: Path) -> None:
    answer = ask(path.read_bytes(), lambda c, s: c.get_json("coingecko", f"{s.coingecko_base_url}/ping"))
    assert answer.body == json.loads(path.read_text())


def kraken_candles(path: Path) -> None:
    body = json.loads(path.read_text())
    rows = body["result"]["XXBTZUSD"]
    for now, expected in ((ms(rows[-1][0] * 1000), rows[:-1]), (LATER, rows)):  # the clock says which are finished
        assert [(int(c[0].timestamp()), *map(repr, c[1:7]), c[7]) for c in parsed.candles(body, "BTC", now)] == [
            (r[0], *(repr(float(v)) for v in r[1:7]), r[7]) for r in expected
        ]


def minute_candles(path: Path) -> None:
    """Not hourly: must not pass as hours."""
    with pytest.raises(SourceError, match="not an hour"):
        parsed.candles(json.loads(path.read_text()), "BTC", LATER)


def metrics(path: Path) -> None:
    """Days that are whole and assets of ours; the page after the last token is empty here."""
    body = json.loads(path.read_text())
    symbols = {e["asset"]: e["asset"].upper() for e in body["data"]}
    for entry in body["data"]:
        row = coinmetrics.parse_row(entry, symbols, "coinmetrics")
        said = [entry.get(metric) for metric in coinmetrics.COINMETRICS_METRICS.values()]
        if all(value is None for value in said):
            assert row is None
            continue
        assert row is not None
        assert row[0] == symbols[entry["asset"]]
        assert row[1] == date.fromisoformat(entry["time"][:10])
        assert list(row[4:]) == [None if value is None else float(value) for value in said]


def series(kind: str) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        column = "tvl_usd" if kind == "tvl" else "stablecoin_supply_usd"
        log = SetAsideLog()
        found = defillama._Series("recorded", column, (date(2009, 1, 1), LATER.date()), log, Counter())
        found.load(json.loads(path.read_text()))
        said = {}
        for point in json.loads(path.read_text()):
            day = datetime.fromtimestamp(int(point["date"]), UTC).date()
            usd = point.get("totalCirculatingUSD") or {
                "peggedUSD": (point.get("totalCirculating") or {}).get("peggedUSD")
            }
            said[day] = point["tvl"] if kind == "tvl" else sum(usd.values())
        assert {day: found.value(day) for day in found.days()} == said
        assert said and log.records() == ()

    return check


def protocols(path: Path) -> None:
    frame = ask(path.read_bytes(), lambda c, s: defillama_snapshots.fetch_protocols(c, s, (BTC,), LATER)).frame
    said = json.loads(path.read_text())
    assert list(zip(frame["name"], frame["category"], frame["tvl_usd"], strict=True)) == [
        (e["name"], e["category"], e["tvl"]) for e in said if e["tvl"] >= 1e6
    ]


def fng(path: Path) -> None:
    body = json.loads(path.read_text())
    assert alternative_me.read_index(body).values == {
        datetime.fromtimestamp(int(e["timestamp"]), UTC): float(e["value"]) for e in body["data"]
    }


def feed(path: Path) -> None:
    articles, skipped = parsed.feed(path.read_bytes(), "recorded", LATER)
    items = ElementTree.fromstring(path.read_bytes()).findall(".//item")
    assert len(articles) + skipped.total() == len(items) > 0
    said = [
        (
            " ".join((item.findtext("title") or "").split()),
            (item.findtext("link") or "").strip(),
            parsedate_to_datetime(item.findtext("pubDate") or ""),
        )
        for item in items
    ]
    assert [(title, url, at) for title, _, url, at, *_ in articles] == said


READ: dict[str, Callable[[Path], None]] = {
    "coingecko/coins_market_chart_range.json": chart,
    "coingecko/demo_coins_market_chart_range.json": chart,
    "coingecko/coins_markets.json": markets,
    "coingecko/demo_coins_markets.json": markets,
    "coingecko/derivatives.json": derivatives,
    "coingecko/demo_derivatives.json": derivatives,
    "coingecko/coins_history.json": history,
    "coingecko/demo_coins_history.json": history,
    "coingecko/coins_ohlc.json": candles,
    "coingecko/pro_coins_ohlc_range.json": candles,
    "coingecko/key.json": key,
    "coingecko/pro_key.json": key,
    "coingecko/ping.json": ping,
    "kraken/ohlc_60m.json": kraken_candles,
    "kraken/ohlc_1m.json": minute_candles,
    "coinmetrics/timeseries_asset_metrics_page1.json": metrics,
    "coinmetrics/timeseries_asset_metrics_last_page.json": metrics,
    "coinmetrics/community_price_page.json": metrics,
    "defillama/historical_chain_tvl.json": series("tvl"),
    "defillama/stablecoincharts_chain.json": series("stablecoins"),
    "defillama/protocols.json": protocols,
    "alternative_me/fng.json": fng,
    "rss/coindesk.xml": feed,
    "rss/cointelegraph.xml": feed,
    "rss/decrypt_UNVERIFIED.xml": feed,
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_recording_parses_to_what_it_says(shared: Path, name: str) -> None:
    READ[name](shared / "wire" / name)


def test_no_recording_is_left_out(shared: Path) -> None:
    recorded = {entry["file"] for entry in json.loads((shared / "wire" / "INDEX.json").read_text())}
    errors = {name for name in recorded if "/errors/" in name}
    specs = {name for name in recorded if name.startswith("specs/")}
    assert recorded - errors - specs == READ.keys() | UNREAD.keys()
    assert errors >= {"coingecko/errors/429_rate_limit.json"}


def refusals(shared: Path) -> list[dict[str, Any]]:
    return [e for e in json.loads((shared / "wire" / "INDEX.json").read_text()) if "/errors/" in e["file"]]


def test_every_recorded_error_is_one_sentence_with_the_providers_reason(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the answer to each provider's own route, with the recorded status and headers; none is taken for rows."""
    monkeypatch.setattr(kraken, "PAUSE_S", 0.0)
    day = date(2024, 1, 2)
    routes: dict[str, Call] = {
        "coingecko": lambda c, s: coingecko.fetch_ohlc(c, s, BTC, day, day, LATER),
        "kraken": lambda c, s: kraken.fetch_ohlc(c, s, BTC, day, day, LATER),
        "coinmetrics": lambda c, s: coinmetrics.fetch_onchain(c, s, (BTC,), day, day, LATER),
    }
    for entry in refusals(shared):
        provider = entry["file"].split("/")[0]
        body = (shared / "wire" / entry["file"]).read_bytes()
        with pytest.raises(SourceError) as caught:
            ask(body, routes[provider], entry["http_status"])
        sentence = str(caught.value)
        assert provider in sentence and "\n" not in sentence and len(sentence) < 600, entry["file"]
        code = re.search(r"/\d+_(100\d\d)_", entry["file"])
        if code:
            assert code.group(1) in sentence, entry["file"]
        if "404" in entry["file"] or "unknown_pair" in entry["file"]:
            assert isinstance(caught.value, NotListedError)


def test_binance_bars_of_the_recorded_data_would_parse(shared: Path) -> None:
    """No answer of Binance is recorded; its documented example is."""
    example = [[1499040000000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815", 1499644799999,
                "2434.19055334", 308, "1756.87402397", "28.46694368", "0"]]  # fmt: skip
    with pytest.raises(SourceError, match="longer than an hour"):  # a week's: must not pass as an hour
        parsed.klines(example, "example")
    example[0][6] = 1499040000000 + 3_599_999
    body = parse_json(json.dumps(example).encode(), "binance klines")
    assert parsed.klines(body, "example") == [(ms(1499040000000), 0.0163479, 0.8, 0.015758, 0.015771, 148976.11427815)]
