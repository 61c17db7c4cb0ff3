"""The routes of the price providers: CoinGecko, Binance, Kraken."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zlib import crc32

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto_assets.catalog import Coin, all_coins, by_symbol
from crypto_assets.sandbox import names
from crypto_assets.sandbox.market import HOUR_S, Backend, Bars

KRAKEN_WINDOW = 720
CHART_DAYS, OHLC_DAYS = 100, 31
AUTO_HOURLY_DAYS = 90  # without ``interval``: hourly up to this many days, daily above


def routes(backend: Backend) -> list[Route]:
    """Return the routes: CoinGecko under ``/api/v3``, Binance under ``/binance/api/v3``, Kraken under ``/0/public``."""
    by_id = {coin.coingecko: coin for coin in all_coins() if coin.coingecko}
    ids, pairs = names.at("coingecko"), names.at("binance")
    by_altname = {coin.kraken: coin for coin in all_coins() if coin.kraken}

    def coin_of(request: Request, stamped_s: int = 0) -> tuple[Coin, Bars] | None:
        spans = ids.get(request.path_params["id"], [])
        bars = names.bars(backend, spans, stamped_s)
        return (by_symbol()[spans[0].symbol], bars) if bars else None

    def market_chart(request: Request) -> Response:
        found, first, last = coin_of(request, HOUR_S), *_window(request)
        if found is None:
            return JSONResponse({"error": "coin not found"}, 404)
        hourly = request.query_params.get("interval") == "hourly"
        if hourly and last - first > CHART_DAYS * 86_400:
            return _coingecko_error(401, 10012, f"hourly data is limited to {CHART_DAYS} days a request")
        daily = not hourly and last - first > AUTO_HOURLY_DAYS * 86_400
        return JSONResponse(_chart(backend, *found, first, last, daily=daily))

    def ohlc_range(request: Request) -> Response:
        found, first, last = coin_of(request), *_window(request)
        if found is None:
            return JSONResponse({"error": "coin not found"}, 404)
        if last - first > (OHLC_DAYS + 1) * 86_400:
            return _coingecko_error(401, 10012, f"hourly candles are limited to {OHLC_DAYS} days a request")
        bars = found[1].between(first - HOUR_S, last - HOUR_S)
        columns = ((bars.ts + HOUR_S) * 1000, bars.open, bars.high, bars.low, bars.close)
        return JSONResponse([list(row) for row in zip(*(c.tolist() for c in columns), strict=True)])

    def markets(request: Request) -> Response:
        asked = [by_id[i] for i in request.query_params.get("ids", "").split(",") if i in by_id]
        per_page, page = int(request.query_params.get("per_page", 100)), int(request.query_params.get("page", 1))
        rows = [row for coin in asked if (row := _market(backend, coin))]
        return JSONResponse(rows[(page - 1) * min(per_page, 250) : page * min(per_page, 250)])

    def coins_list(request: Request) -> Response:
        return JSONResponse([{"id": c.coingecko, "symbol": c.symbol.lower(), "name": c.name} for c in by_id.values()])

    def klines(request: Request) -> Response:
        bars = names.bars(backend, pairs.get(request.query_params.get("symbol", ""), []))
        if bars is None:
            return JSONResponse({"code": -1121, "msg": "Invalid symbol."}, 400)
        if request.query_params.get("interval", "1h") != "1h":
            return JSONResponse({"code": -1120, "msg": "Invalid interval."}, 400)
        first = int(request.query_params.get("startTime", 0)) / 1000
        last = int(request.query_params.get("endTime", 10**13)) / 1000
        limit = min(int(request.query_params.get("limit", 500)), 1000)
        return JSONResponse(kline_rows(bars.between(first, last), limit))

    def kraken_ohlc(request: Request) -> Response:
        pair = request.query_params.get("pair", "")
        coin = by_altname.get(pair)
        bars = backend.bars(coin.symbol) if coin else None
        if bars is None:
            return JSONResponse({"error": ["EQuery:Unknown asset pair"]})
        if request.query_params.get("interval", "60") != "60":
            return JSONResponse({"error": ["EGeneral:Invalid arguments"]})
        since = float(request.query_params.get("since", 0))
        return JSONResponse({"error": [], "result": _kraken(pair, bars, since)})

    def kraken_pairs(request: Request) -> Response:
        pairs = {name: {"altname": name, "wsname": f"{coin.symbol}/USD"} for name, coin in by_altname.items()}
        return JSONResponse({"error": [], "result": pairs})

    gecko = "/api/v3"
    return [
        Route(f"{gecko}/ping", lambda _: JSONResponse({"gecko_says": "(V3) To the Moon!"})),
        Route(f"{gecko}/coins/list", coins_list),
        Route(f"{gecko}/coins/markets", markets),
        Route(f"{gecko}/coins/{{id}}/market_chart/range", market_chart),
        Route(f"{gecko}/coins/{{id}}/ohlc/range", ohlc_range),
        Route("/binance/api/v3/ping", lambda _: JSONResponse({})),
        Route("/binance/api/v3/klines", klines),
        Route("/0/public/OHLC", kraken_ohlc),
        Route("/0/public/AssetPairs", kraken_pairs),
        Route("/0/public/SystemStatus", lambda _: JSONResponse({"error": [], "result": {"status": "online"}})),
    ]


def _window(request: Request) -> tuple[float, float]:
    """Read ``from`` and ``to`` in epoch seconds, from seconds or ISO text."""
    return _seconds(request.query_params.get("from", "0")), _seconds(request.query_params.get("to", "0"))


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=timezone.utc).timestamp()


def _coingecko_error(status: int, code: int, message: str) -> Response:
    return JSONResponse({"error": {"status": {"error_code": code, "error_message": message}}}, status)


def _chart(backend: Backend, coin: Coin, bars: Bars, first: float, last: float, *, daily: bool) -> dict[str, Any]:
    """Build a chart: the point of an hour mark is the close of the bar before it, stamped some seconds later."""
    size = len(bars.ts)
    marks = bars.ts + HOUR_S
    turnover = np.concatenate([[0.0], np.cumsum(bars.close * bars.volume)])
    # It needs a complete trailing day of bars. Otherwise it is unknown, which CoinGecko writes as 0.
    start = np.arange(size) - 23
    whole = (start >= 0) & (bars.ts - bars.ts[np.maximum(start, 0)] == 23 * HOUR_S)
    volume = np.where(whole, turnover[1:] - turnover[np.maximum(start, 0)], 0.0)
    stamps = marks + (marks // HOUR_S * 7 + crc32(coin.symbol.encode())) % 40 + 1
    keep = (stamps >= first) & (stamps <= last) & (stamps <= backend.now().timestamp())
    if daily:
        keep &= marks % 86_400 == 0
    caps = backend.market_cap(coin.symbol)
    days = [datetime.fromtimestamp(int(mark), timezone.utc).date() for mark in marks[keep]]
    milliseconds = (stamps[keep] * 1000).tolist()
    pair = lambda values: [list(p) for p in zip(milliseconds, values, strict=True)]  # noqa: E731
    return {
        "prices": pair(bars.close[keep].tolist()),
        "market_caps": pair([caps.get(day, 0.0) for day in days]),
        "total_volumes": pair(volume[keep].tolist()),
    }


def _market(backend: Backend, coin: Coin) -> dict[str, Any] | None:
    """Build the current market: what the chart shows at the newest hour mark, now or at the end of the recording."""
    bars, now = backend.bars(coin.symbol), backend.now()
    bars = bars.between(0, now.timestamp() - HOUR_S) if bars is not None else None  # without the bar in progress
    if bars is None or not len(bars.ts):
        return None
    closed = datetime.fromtimestamp(int(bars.ts[-1]) + HOUR_S, timezone.utc)
    caps = backend.market_cap(coin.symbol)
    return {
        "id": coin.coingecko,
        "symbol": coin.symbol.lower(),
        "name": coin.name,
        "current_price": float(bars.close[-1]),
        "market_cap": caps[max(caps)] if caps else None,
        "total_volume": float((bars.close[-24:] * bars.volume[-24:]).sum()),
        "last_updated": (now if now - closed < timedelta(hours=1) else closed).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }


def kline_rows(bars: Bars, limit: int) -> list[list[Any]]:
    """Write the first bars as Binance does, at most ``limit``."""
    rows = []
    columns = (bars.ts, bars.open, bars.high, bars.low, bars.close, bars.volume)
    for ts, *prices, volume in zip(*(values[:limit].tolist() for values in columns), strict=True):
        opened, texts, turnover = ts * 1000, map(repr, prices), repr(volume * prices[-1])
        rows.append([opened, *texts, repr(volume), opened + 3_599_999, turnover, 1000, "0", "0", "0"])
    return rows


def _kraken(pair: str, bars: Bars, since: float) -> dict[str, Any]:
    """Return the newest 720 candles after ``since``; the last one is in progress."""
    recent = bars.between(max(since + 1, bars.ts[-KRAKEN_WINDOW] if len(bars.ts) >= KRAKEN_WINDOW else 0), 10**11)
    rows = []
    for n in range(len(recent.ts)):
        o, h, low, c, v = (
            repr(float(a[n])) for a in (recent.open, recent.high, recent.low, recent.close, recent.volume)
        )
        rows.append([int(recent.ts[n]), o, h, low, c, c, v, 100])
    return {pair: rows, "last": rows[-2][0] if len(rows) > 1 else 0}
