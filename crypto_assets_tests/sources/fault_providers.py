"""Every route that feeds a table, with a good answer of it and where in that answer the rows, values and times are."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from crypto_assets.catalog import by_symbol
from crypto_assets.errors import SourceError
from crypto_assets.narratives.mentions import find_symbols
from crypto_assets.narratives.tagging import tag_articles
from crypto_assets.settings import Settings
from crypto_assets.sources import (
    alternative_me,
    coingecko,
    coingecko_context,
    coingecko_today,
    coinmetrics,
    defillama,
    defillama_snapshots,
    deribit,
    derivatives,
    kraken,
    macro,
    network,
    ohlc,
    rss,
    social,
)
from crypto_assets.sources.binance_statistics import COLUMNS
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.sources.vintages import frame_of
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.sources.venues import checksum, zipped
from crypto_assets_tests.sources.wire_server import Reply, Request

DAY, NOW = date(2024, 1, 2), datetime(2024, 1, 4, 12, 3, tzinfo=timezone.utc)
MIDNIGHT = int(datetime(2024, 1, 2, tzinfo=timezone.utc).timestamp())
HOURS = [MIDNIGHT + 3600 * n for n in range(24)]
LATER = datetime(2024, 6, 1, tzinfo=timezone.utc)  # when the API does not show the day any more, and the file does
BTC = (by_symbol()["BTC"],)
PRO = {"COINGECKO_API_KEY": "planted", "COINGECKO_PLAN": "analyst", "RATE_LIMITS": "coingecko=100000/1"}


@dataclass(frozen=True)
class Route:
    """One route of one provider. ``rows`` finds the list of rows in a good answer; ``value`` and ``time`` are cells of a row.

    ``time`` is None where the answer is of the present and no row says when; ``says`` is what each error must name.
    """

    name: str
    table: str
    good: Callable[[Request], Any]
    rows: Callable[[Any], list[Any]]
    value: Any
    time: Any
    says: tuple[str, ...]
    fetch: Callable[[Client, Settings], Awaitable[Fetched]]
    unit: int = 1  # of the times, in a second
    wire: Callable[[Request, Any], Any] = lambda _, body: body  # the answer's rows as the provider writes them
    may_be_zero: bool = False
    env: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def contract(self) -> Contract:
        return CONTRACTS[self.table]


def _chart(_: Request) -> Any:
    points = [[1000 * (hour + 9), 100.0 + n] for n, hour in enumerate(HOURS)]
    return {
        "prices": points,
        "market_caps": [[t, 1e9] for t, _ in points],
        "total_volumes": [[t, 1e6] for t, _ in points],
    }


def _candles(_: Request) -> Any:
    return [[1000 * (hour + 3600), 10.0, 12.0, 9.0, 11.0] for hour in HOURS]


def _markets(_: Request) -> Any:
    entry = {"id": "bitcoin", "current_price": 5.0, "market_cap": 1e9, "total_volume": 1e6}
    return [{**entry, "last_updated": "2024-01-04T12:01:30.500Z"}]


def _contracts(_: Request) -> Any:
    entry = {"market": "one", "index_id": "BTC", "contract_type": "perpetual", "expired_at": None, "price": "5"}
    return [{**entry, "basis": 0.1, "funding_rate": 0.01, "open_interest": 1e9, "volume_24h": 2e9}]


def _history(_: Request) -> Any:
    counts = {"reddit_subscribers": 100, "reddit_average_posts_48h": 1.5}
    return {"id": "bitcoin", "community_data": counts, "developer_data": {"forks": 7, "stars": 9}}


def _klines(request: Request) -> Any:
    rows = [[1000 * h, "10", "12", "9", "11", "5", 1000 * h + 3599999, "55", 9, "0", "0", "0"] for h in HOURS]
    return [row for row in rows if row[0] >= int(request.query["startTime"])]


STAMPS = [MIDNIGHT + 8 * 3600 * n for n in range(-1, 5)]


def _within(request: Request, stamp: int, first: str = "startTime", last: str = "endTime") -> bool:
    return int(request.query[first]) <= 1000 * stamp <= int(request.query[last])


def _funding(request: Request) -> Any:
    row = {"symbol": "BTCUSDT", "fundingRate": "0.0001", "markPrice": "42000.5"}
    return [{**row, "fundingTime": 1000 * s + 3} for s in STAMPS if _within(request, s)]


def _perpetual(request: Request) -> Any:
    close = "11" if "index" in request.path else "11.5"
    return [[1000 * h, "10", "12", "9", close, "5", 1000 * h + 3599999, "55", 9, "0", "0", "0"] for h in HOURS]


def _bybit(request: Request) -> Any:
    row = {"symbol": "BTCUSDT", "fundingRate": "0.0001"}
    rows = [{**row, "fundingRateTimestamp": str(1000 * s)} for s in reversed(STAMPS) if _within(request, s)]
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "list": rows}}


def _statistics(request: Request) -> Any:
    """The last month of Binance's statistics; no day has a file yet. The faults are those of the first route.

    The first request is for the file of the day before, which the errors then name.
    """
    if "/daily/metrics/" in request.path:
        return Reply(b"<Error><Code>NoSuchKey</Code></Error>", 404)
    stamps = [str(1000 * hour) for hour in HOURS if _within(request, hour)]
    if request.path.endswith("/openInterestHist"):
        return [{"sumOpenInterest": "90000.5", "sumOpenInterestValue": "9e9", "timestamp": at} for at in stamps]
    name = "longShortRatio" if request.path.endswith("/globalLongShortAccountRatio") else "buySellRatio"
    return Reply([{name: "1.5", "timestamp": at} for at in stamps])


def _metrics(request: Request) -> Any:
    """The rows of a daily file that are labelled with an hour; the last label is the next midnight."""
    if "/daily/metrics/" not in request.path:
        return Reply({"code": -1121, "msg": "Invalid symbol."}, 400)
    opened = datetime.fromisoformat(request.path[request.path.index("metrics-") + 8 :][:10])
    values = dict.fromkeys(COLUMNS.values(), "90000.5")
    stamps = [opened + timedelta(hours=n + 1) for n in range(24)]
    return [{"create_time": f"{stamp:%Y-%m-%d %H:%M:%S}", "symbol": "BTCUSDT", **values} for stamp in stamps]


def _zipped(request: Request, body: Any) -> Any:
    """A daily file of these rows, or its checksum."""
    if isinstance(body, Reply):
        return body
    text = io.StringIO()
    if isinstance(body, list) and body and all(isinstance(row, dict) for row in body):
        sheet = csv.DictWriter(text, list(dict.fromkeys(name for row in body for name in row)))
        sheet.writeheader()
        sheet.writerows(body)
    else:
        text.write(str(body))
    file = zipped(text.getvalue())
    return checksum(file) if request.path.endswith(".CHECKSUM") else file


def _bybit_bars(request: Request) -> Any:
    """Bars of the contract, in which the faults are, beside those of the index."""
    stamps = [str(1000 * h) for h in reversed(HOURS) if _within(request, h, "start", "end")]
    index = "index" in request.path
    rows = [[at, "10", "12", "9", "11"] if index else [at, "10", "12", "9", "11.5", "5", "55"] for at in stamps]
    body = {"retCode": 0, "retMsg": "OK", "result": {"symbol": "BTCUSDT", "category": "linear", "list": rows}}
    return Reply(body) if index else body


def _bybit_interest(request: Request) -> Any:
    rows = [{"openInterest": "90000.5", "timestamp": str(1000 * h)} for h in reversed(HOURS) if _within(request, h)]
    return {"retCode": 0, "retMsg": "OK", "result": {"symbol": "BTCUSDT", "category": "linear", "list": rows}}


def _dvol(_: Request) -> Any:
    return {
        "jsonrpc": "2.0",
        "result": {"data": [[1000 * h, 55.1, 56.2, 54.3, 55.4] for h in HOURS], "continuation": None},
    }


def _kraken(_: Request) -> Any:
    rows = [[h, "10", "12", "9", "11", "10.5", "7", 3] for h in [*HOURS, HOURS[-1] + 3600]]
    return {"error": [], "result": {"XXBTZUSD": rows, "last": HOURS[-1]}}


def _asset_metrics(_: Request) -> Any:
    row = {"asset": "btc", "time": "2024-01-02T00:00:00.000000000Z", "PriceUSD": "42000.5", "TxCnt": "300000"}
    return {"data": [row]}


def _llama(request: Request) -> Any:
    stamps = [MIDNIGHT - 86400, MIDNIGHT, MIDNIGHT + 86400]
    if "stablecoin" in request.path:
        return [{"date": str(s), "totalCirculatingUSD": {"peggedUSD": 5e10}, "tvl": 0} for s in stamps]
    return [{"date": s, "tvl": 4e10} for s in stamps]


def _protocols(_: Request) -> Any:
    return [{"name": "Aave", "slug": "aave", "category": "Lending", "gecko_id": "aave", "tvl": 1e10}]


def _pools(_: Request) -> Any:
    pool = {"pool": "p-1", "project": "aave", "chain": "Ethereum", "symbol": "USDC", "tvlUsd": 1e9, "apy": 3.5}
    return {"status": "success", "data": [{**pool, "apyBase": 3.0, "stablecoin": True}]}


def _greed(_: Request) -> Any:
    rows = [
        {"value": str(v), "value_classification": "Fear", "timestamp": str(MIDNIGHT + 86400 * n)}
        for n, v in ((1, 31), (0, 30), (-1, 29))
    ]
    return {"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}}


ITEMS = [
    f"<item><title>Bitcoin {word}</title><link>https://n.example/{word}</link>"
    f"<pubDate>Tue, 02 Jan 2024 0{hour}:00:00 GMT</pubDate></item>".encode()
    for hour, word in ((3, "up"), (4, "down"))
]
FEED = b'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>%s</channel></rss>'


def _feed(_: Request) -> bytes:
    return FEED % b"".join(ITEMS)


async def _articles(client: Client, settings: Settings) -> Fetched:
    fetched = await rss.fetch_articles(client, settings, NOW)
    return Fetched(tag_articles(fetched.frame, BTC, DAY, DAY), fetched.digests, fetched.missing)


async def _posts(client: Client, settings: Settings) -> Fetched:
    named = replace(settings, social_feeds=settings.news_feeds)
    return await social.fetch_posts(client, named, DAY, DAY, NOW, find_symbols, BTC)


async def _newest(client: Client, settings: Settings) -> Fetched:
    marks = coingecko_today.marks(NOW.date(), NOW)
    return await coingecko_today.fetch_today(client, settings, BTC, NOW.date(), NOW, {"BTC": set(marks[:-1])})


async def _community(client: Client, settings: Settings) -> Fetched:
    return (await coingecko_context.fetch_community(client, settings, BTC, DAY, DAY, NOW))[0]


def _fred(request: Request) -> Any:
    """Two observations of the series that is asked for, the second one revised on the day."""
    if request.path.endswith("/release/dates"):
        return Reply({"release_dates": [{"release_id": 10, "date": "2024-01-11"}]})
    row = {"realtime_end": request.query["realtime_end"], "value": "101.5"}
    return {"count": 3, "observations": [
        {**row, "date": "2023-12-01", "realtime_start": "2023-12-20", "realtime_end": "2024-01-01"},
        {**row, "date": "2023-12-01", "realtime_start": "2024-01-02", "value": "102.5"},
        {**row, "date": "2023-12-08", "realtime_start": "2024-01-02"},
    ]}  # fmt: skip


def _rates(_: Request) -> Any:
    row = {"type": "SOFR", "percentRate": 5.33, "revisionIndicator": ""}
    return {"refRates": [{**row, "effectiveDate": f"2023-12-{day}"} for day in (29, 28, 27)]}


def _charts(request: Request) -> Any:
    """The charts of Bitcoin; mempool.space and DefiLlama give good answers."""
    stamps = [MIDNIGHT - 86400, MIDNIGHT, MIDNIGHT + 86400]
    if request.path.startswith("/mempool"):
        return Reply([{"timestamp": stamp + 9, "avgFee_50": 12} for stamp in stamps])
    if "/overview/" in request.path:
        return Reply({"totalDataChart": [[stamp, 1e6] for stamp in stamps]})
    return {"status": "ok", "values": [{"x": stamp, "y": 300_000.5} for stamp in stamps]}


def _macro(name: str) -> Callable[[Client, Settings], Awaitable[Fetched]]:
    """One provider of macro series alone; a series that it does not give is an error."""

    async def fetch(client: Client, settings: Settings) -> Fetched:
        given = await macro.PROVIDERS[name](client, settings, DAY, DAY, NOW)
        for why in (*given.failed.values(), *given.missing.values()):
            raise SourceError(why)
        frame = frame_of(given.vintages, {name: given.source})
        frame = frame[frame["series"].isin(("PAYEMS", "SOFR"))]  # each series has the same answer
        return Fetched(frame, tuple(given.digests), set_aside=given.log.records())

    return fetch


ROUTES = [
    Route("coingecko market_chart", "prices", _chart, lambda b: b["prices"], 1, 0,
          ("coingecko", "market_chart", "BTC", "2024-01-02"),
          lambda c, s: coingecko.fetch_prices(c, s, BTC, DAY, DAY, NOW), unit=1000, env=PRO),
    Route("coingecko ohlc", "ohlc", _candles, lambda b: b, 4, 0, ("coingecko", "ohlc", "BTC", "2024-01-02"),
          lambda c, s: ohlc.fetch_ohlc(c, s, BTC, DAY, DAY, NOW), unit=1000, env={**PRO, "OHLC_SOURCES": "coingecko"}),
    Route("coingecko markets", "prices", _markets, lambda b: b, "current_price", "last_updated",
          ("coingecko", "/coins/markets", "BTC", "2024-01-04 12:00"), _newest, env=PRO),
    Route("coingecko derivatives", "derivatives", _contracts, lambda b: b, "open_interest", None,
          ("coingecko", "/derivatives", "2024-01-04 12:03"),
          lambda c, s: coingecko_context.fetch_derivatives(c, s, BTC, NOW), env=PRO),
    Route("coingecko history", "social_metrics", _history, lambda b: [b["community_data"]],
          "reddit_average_posts_48h", None, ("coingecko", "history", "BTC", "2024-01-02"), _community, env=PRO,
          may_be_zero=True),
    Route("binance klines", "ohlc", _klines, lambda b: b, 4, 0, ("binance", "klines", "BTC", "2024-01-02"),
          lambda c, s: ohlc.fetch_ohlc(c, s, BTC, DAY, DAY, NOW), unit=1000, env={"OHLC_SOURCES": "binance"}),
    Route("binance fundingRate", "funding_rates", _funding, lambda b: b, "fundingRate", "fundingTime",
          ("binance", "fundingRate", "BTC", "2024-01-02"),
          lambda c, s: derivatives.fetch_funding(c, s, BTC, DAY, DAY, NOW), unit=1000, may_be_zero=True,
          env={"DERIVATIVE_SOURCES": "binance"}),
    Route("bybit funding", "funding_rates", _bybit, lambda b: b["result"]["list"], "fundingRate", "fundingRateTimestamp",
          ("bybit", "BTC", "2024-01-02"), lambda c, s: derivatives.fetch_funding(c, s, BTC, DAY, DAY, NOW), unit=1000,
          may_be_zero=True, env={"DERIVATIVE_SOURCES": "bybit"}),
    Route("binance openInterestHist", "open_interest", _statistics, lambda b: b, "sumOpenInterest", "timestamp",
          ("binance", "BTC", "2024-01-0"), lambda c, s: derivatives.fetch_open_interest(c, s, BTC, DAY, DAY, NOW), unit=1000,
          may_be_zero=True, env={"DERIVATIVE_SOURCES": "binance"}),
    Route("binance metrics files", "open_interest", _metrics, lambda b: b, "sum_open_interest", "create_time",
          ("binance", "BTC", "2024-01-0"), lambda c, s: derivatives.fetch_open_interest(c, s, BTC, DAY, DAY, LATER),
          may_be_zero=True, env={"DERIVATIVE_SOURCES": "binance"}, wire=_zipped),
    Route("bybit open-interest", "open_interest", _bybit_interest, lambda b: b["result"]["list"], "openInterest",
          "timestamp", ("bybit", "BTC", "2024-01-02"),
          lambda c, s: derivatives.fetch_open_interest(c, s, BTC, DAY, DAY, NOW), unit=1000, may_be_zero=True,
          env={"DERIVATIVE_SOURCES": "bybit"}),
    Route("binance perpetual klines", "perpetual_bars", _perpetual, lambda b: b, 4, 0, ("binance", "lines", "BTC", "2024-01-02"),
          lambda c, s: derivatives.fetch_bars(c, s, BTC, DAY, DAY, NOW), unit=1000, env={"DERIVATIVE_SOURCES": "binance"}),
    Route("bybit klines", "perpetual_bars", _bybit_bars, lambda b: b["result"]["list"], 4, 0, ("bybit", "line", "BTC", "2024-01-02"),
          lambda c, s: derivatives.fetch_bars(c, s, BTC, DAY, DAY, NOW), unit=1000, env={"DERIVATIVE_SOURCES": "bybit"}),
    Route("deribit DVOL", "implied_volatility", _dvol, lambda b: b["result"]["data"], 4, 0, ("deribit", "BTC", "2024-01-02"),
          lambda c, s: deribit.fetch_volatility(c, s, BTC, DAY, DAY, NOW), unit=1000),
    Route("kraken OHLC", "kraken_ohlc", _kraken, lambda b: b["result"]["XXBTZUSD"], 4, 0,
          ("kraken", "OHLC", "BTC", "2024-01-02"), lambda c, s: kraken.fetch_kraken(c, s, BTC, DAY, DAY, NOW)),
    Route("coinmetrics asset-metrics", "onchain_base", _asset_metrics, lambda b: b["data"], "PriceUSD", "time",
          ("coinmetrics", "asset-metrics", "BTC", "2024-01-02"),
          lambda c, s: coinmetrics.fetch_onchain(c, s, BTC, DAY, DAY, NOW)),
    Route("defillama TVL", "defi_metrics", _llama, lambda b: b, "tvl", "date", ("defillama", "all", "2024-01-02"),
          lambda c, s: defillama.fetch_defi(c, s, [], DAY, DAY, NOW)),
    Route("defillama protocols", "defi_protocols", _protocols, lambda b: b, "tvl", None,
          ("defillama", "/protocols", "2024-01-04"), lambda c, s: defillama_snapshots.fetch_protocols(c, s, BTC, NOW)),
    Route("defillama pools", "defi_yields", _pools, lambda b: b["data"], "tvlUsd", None,
          ("defillama", "/pools", "2024-01-04"), lambda c, s: defillama_snapshots.fetch_pools(c, s, NOW)),
    Route("alternative_me fng", "market_sentiment", _greed, lambda b: b["data"], "value", "timestamp",
          ("alternative_me", "/fng/", "2024-01-02"),
          lambda c, s: alternative_me.fetch_fear_greed(c, s, DAY, DAY, NOW), may_be_zero=True),
    Route("social feeds", "social_posts", _feed, lambda b: b, None, None, ("news", "one"), _posts),
    Route("fred observations", "macro_series", _fred, lambda b: b["observations"], "value", "date",
          ("fred", "/series/observations", "2024-01-02"), _macro("fred"), env={"FRED_API_KEY": "0" * 32}, may_be_zero=True),
    Route("blockchain charts", "network_metrics", _charts, lambda b: b["values"], "y", "x",
          ("BTC", "2024-01-02"), lambda c, s: network.fetch_network(c, s, BTC, DAY, DAY, NOW),
          may_be_zero=True),
    Route("nyfed rates", "macro_series", _rates, lambda b: b["refRates"], "percentRate", "effectiveDate",
          ("nyfed", "search.json", "2024-01-02"), _macro("nyfed"), may_be_zero=True),
    Route("news feeds", "news_articles", _feed, lambda b: b, None, None, ("news", "one"), _articles),
]  # fmt: skip
