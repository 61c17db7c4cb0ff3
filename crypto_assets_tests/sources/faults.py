"""Every fault that a provider can commit, for every provider: what to break in a good answer, and how it should end."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

import pandas as pd

from crypto_assets.catalog import by_symbol
from crypto_assets.contract import Contract
from crypto_assets.errors import SourceError
from crypto_assets.schemas import CONTRACTS
from crypto_assets.settings import Settings
from crypto_assets.sources import alternative_me, coingecko, coinmetrics, defillama, kraken, ohlc, rss
from crypto_assets.sources.client import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.transforms.news import tag_articles
from crypto_assets_tests.sources.wire_server import Reply, Request, serve

DAY, NOW = date(2024, 1, 2), datetime(2024, 1, 4, 12, tzinfo=timezone.utc)
MIDNIGHT = int(datetime(2024, 1, 2, tzinfo=timezone.utc).timestamp())
HOURS = [MIDNIGHT + 3600 * n for n in range(24)]
BTC = (by_symbol()["BTC"],)


@dataclass(frozen=True)
class Provider:
    """A source with a good answer: ``rows`` finds the list in it, ``value`` and ``time`` name a row's cells."""

    name: str
    table: str
    good: Callable[[Request], Any]
    rows: Callable[[Any], list[Any]]
    value: Any
    time: Any
    fetch: Callable[[Client, Settings], Awaitable[Fetched]]
    wrong_type: Any = "text"
    milliseconds: bool = False

    def contract(self) -> Contract:
        return CONTRACTS[self.table]


def _chart(_: Request) -> Any:
    points = [[1000 * (hour + 9), 100.0 + n] for n, hour in enumerate(HOURS)]
    return {
        "prices": points,
        "market_caps": [[t, 1e9] for t, _ in points],
        "total_volumes": [[t, 1e6] for t, _ in points],
    }


def _klines(request: Request) -> Any:
    rows = [[1000 * h, "10", "12", "9", "11", "5", 1000 * h + 3599999, "55", 9, "0", "0", "0"] for h in HOURS]
    return [row for row in rows if row[0] >= int(request.query["startTime"])]


def _kraken(_: Request) -> Any:
    rows = [[h, "10", "12", "9", "11", "10.5", "7", 3] for h in [*HOURS, HOURS[-1] + 3600]]
    return {"error": [], "result": {"XXBTZUSD": rows, "last": HOURS[-1]}}


def _asset_metrics(_: Request) -> Any:
    row = {"asset": "btc", "time": "2024-01-02T00:00:00.000000000Z", "PriceUSD": "42000.5", "TxCnt": "300000"}
    return {"data": [row]}


def _llama(request: Request) -> Any:
    stamps = [MIDNIGHT - 86400, MIDNIGHT, MIDNIGHT + 86400]
    if "stablecoin" in request.path:
        return [{"date": str(s), "totalCirculatingUSD": {"peggedUSD": 5e10}} for s in stamps]
    return [{"date": s, "tvl": 4e10} for s in stamps]


def _greed(_: Request) -> Any:
    rows = [
        {"value": str(v), "value_classification": "Fear", "timestamp": str(MIDNIGHT + 86400 * n)}
        for n, v in ((1, 31), (0, 30), (-1, 29))
    ]
    return {"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}}


def _feed(_: Request) -> bytes:
    item = "<item><title>Bitcoin up</title><link>https://n.example/a</link><pubDate>Tue, 02 Jan 2024 03:00:00 GMT</pubDate></item>"
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{item}</channel></rss>'.encode()


async def _articles(client: Client, settings: Settings) -> Fetched:
    fetched = await rss.fetch_articles(client, settings, NOW)
    return Fetched(tag_articles(fetched.frame, BTC, DAY, DAY), fetched.digests, fetched.missing)


PROVIDERS = [
    Provider("coingecko", "prices", _chart, lambda b: b["prices"], 1, 0,
             lambda c, s: coingecko.fetch_prices(c, s, BTC, DAY, DAY, NOW), milliseconds=True),
    Provider("binance", "ohlc", _klines, lambda b: b, 4, 0,
             lambda c, s: ohlc.fetch_ohlc(c, s, BTC, DAY, DAY, NOW), wrong_type={}, milliseconds=True),
    Provider("kraken", "kraken_ohlc", _kraken, lambda b: b["result"]["XXBTZUSD"], 4, 0,
             lambda c, s: kraken.fetch_kraken(c, s, BTC, DAY, DAY, NOW)),
    Provider("coinmetrics", "onchain_base", _asset_metrics, lambda b: b["data"], "PriceUSD", "time",
             lambda c, s: coinmetrics.fetch_onchain(c, s, BTC, DAY, DAY, NOW)),
    Provider("defillama", "defi_metrics", _llama, lambda b: b, "tvl", "date",
             lambda c, s: defillama.fetch_defi(c, s, [], DAY, DAY, NOW), wrong_type={}),
    Provider("alternative_me", "market_sentiment", _greed, lambda b: b["data"], "value", "timestamp",
             lambda c, s: alternative_me.fetch_fear_greed(c, s, DAY, DAY, NOW)),
    Provider("rss", "news_articles", _feed, lambda b: b, None, None, _articles),
]  # fmt: skip

# Statuses that an answer may carry, by themselves or with a header or a body of HTML.
STATUSES: dict[str, Reply] = {
    **{f"HTTP {code}": Reply({"error": "no"}, code) for code in (400, 401, 403, 404, 408, 500, 503)},
    "HTTP 429 with Retry-After": Reply({"error": "slow down"}, 429, {"Retry-After": "0"}),
    "HTTP 429 without Retry-After": Reply({"error": "slow down"}, 429),
    "HTTP 502 with HTML": Reply(b"<html>Bad gateway</html>", 502),
    "HTTP 200 with HTML": Reply(b"<html>Attention required</html>"),
    "a redirect to another host": Reply(b"", 302, {"Location": "http://localhost:9/elsewhere"}),
}


def _reset(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def _slow(handler: Any) -> None:
    time.sleep(1.0)


WIRES: dict[str, Reply] = {
    "a reset in the middle of the body": Reply(_reset),
    "a read time-out": Reply(_slow),
    "a gzip bomb": Reply(gzip.compress(b" " * 3_000_000), 200, {"Content-Encoding": "gzip"}),
    "a body over the size cap": Reply(b" " * 3_000_000),
}


def _cell(provider: Provider, row: Any, value: Any) -> None:
    row[provider.value] = value


def _remove(provider: Provider, row: Any) -> None:
    del row[provider.value]


def _no_seconds(provider: Provider, body: Any) -> Any:
    for row in provider.rows(body):
        row[provider.time] = _shift(row[provider.time], provider.milliseconds)
    return body


def _shift(stamp: Any, milliseconds: bool) -> Any:
    """Seconds where milliseconds are documented, and the other way round."""
    if isinstance(stamp, str) and not stamp.isdigit():
        return str(MIDNIGHT)
    number = int(stamp) // 1000 if milliseconds else int(stamp) * 1000
    return str(number) if isinstance(stamp, str) else number


def _far(provider: Provider, rows: list[Any]) -> list[Any]:
    extra = copy.deepcopy(rows[0])
    stamp = extra[provider.time]
    unit = 1000 if provider.milliseconds else 1
    if isinstance(stamp, str) and not stamp.isdigit():
        extra[provider.time] = "2023-06-01T00:00:00.000000000Z"
    else:
        moved = int(stamp) - 86400 * 200 * unit
        extra[provider.time] = str(moved) if isinstance(stamp, str) else moved
    return [extra]


Edit = Callable[[Provider, Any], Any]


def _first(change: Callable[[Provider, Any], None]) -> Edit:
    def edit(provider: Provider, body: Any) -> Any:
        change(provider, provider.rows(body)[0 if provider.name != "defillama" else 1])
        return body

    return edit


def _rows(change: Callable[[Provider, list[Any]], list[Any]]) -> Edit:
    def edit(provider: Provider, body: Any) -> Any:
        rows = provider.rows(body)
        rows[:] = change(provider, rows)
        return body

    return edit


EDITS: dict[str, Edit] = {
    "another JSON type": lambda provider, body: provider.wrong_type,
    "an empty list": _rows(lambda provider, rows: []),
    "a missing field": _first(_remove),
    "text where a number belongs": _first(lambda p, row: _cell(p, row, "abc")),
    "a negative value": _first(lambda p, row: _cell(p, row, "-5" if isinstance(row[p.value], str) else -5)),
    "a zero value": _first(lambda p, row: _cell(p, row, "0" if isinstance(row[p.value], str) else 0)),
    "rows twice": _rows(lambda p, rows: [row for row in rows for _ in range(2)]),
    "rows out of order": _rows(lambda p, rows: [*rows[-2::-1], rows[-1]] if p.name == "kraken" else rows[::-1]),
    "rows outside the window": _rows(lambda p, rows: [*_far(p, rows), *rows]),
    "seconds for milliseconds or the reverse": _no_seconds,
}
TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "truncated JSON": lambda body: body[: len(body) // 2],
    "NaN": lambda body: (
        body.replace(b"1", b"NaN", 1) if b'"' not in body[:40] else body.replace(b": ", b': NaN, "x": ', 1)
    ),
    "Infinity": lambda body: body + b" Infinity",
}


@dataclass(frozen=True)
class Outcome:
    """``frame`` where the fetch succeeded, ``error`` where it failed, and the requests it took."""

    frame: pd.DataFrame | None
    error: SourceError | None
    calls: int

    def words(self, good: pd.DataFrame) -> str:
        if self.error is not None:
            return f"refused after {self.calls} call(s)"
        assert self.frame is not None
        if self.frame.reset_index(drop=True).equals(good.reset_index(drop=True)):
            return "the same rows" if self.calls <= 1 else f"healed by retry ({self.calls} calls)"
        if len(self.frame) < len(good):
            return "the rest of the rows"
        return "the rows, the value unknown"


def run(provider: Provider, answer: Callable[[Request], Any], base: str | None = None) -> Outcome:
    """Fetch from a server that answers so, with short time-outs and two attempts."""
    with serve(answer) as server:
        env = {"OHLC_SOURCES": "binance"}
        settings = server.settings(**env)
        if base is not None:
            names = ("COINGECKO", "BINANCE", "KRAKEN", "COINMETRICS", "DEFILLAMA", "FEAR_GREED")
            feeds = {"NEWS_FEEDS": f"one={base}/one.xml"}
            settings = Settings.from_env({**env, **{f"{name}_BASE_URL": base for name in names}, **feeds})

        async def go() -> Fetched:
            async with Client(
                max_attempts=2, backoff=0.01, max_bytes=1_000_000, read_timeout=0.4, connect_timeout=0.4
            ) as client:
                return await provider.fetch(client, settings)

        try:
            frame = asyncio.run(go()).frame
        except SourceError as error:
            return Outcome(None, error, len(server.requests))
        return Outcome(frame, None, len(server.requests))


def edited(provider: Provider, edit: Edit) -> Callable[[Request], Any]:
    return lambda request: edit(provider, copy.deepcopy(provider.good(request)))


def as_text(provider: Provider, change: Callable[[bytes], bytes]) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        body = provider.good(request)
        return Reply(change(body if isinstance(body, bytes) else json.dumps(body).encode()))

    return answer


def once(provider: Provider, reply: Reply) -> Callable[[Request], Any]:
    """The fault for the first request to each path, then the good answer."""
    seen: set[str] = set()

    def answer(request: Request) -> Any:
        if request.path in seen:
            return provider.good(request)
        seen.add(request.path)
        return reply

    return answer


@contextmanager
def deaf() -> Iterator[str]:
    """An address whose queue of connections is full: connecting there takes for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(address)
            waiting.append(one)
        yield f"http://127.0.0.1:{address[1]}"
        for one in waiting:
            one.close()


def closed() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
