"""The routes of derivatives: Binance's futures and daily files, Bybit, Deribit."""

from __future__ import annotations

import hashlib
import io
import math
import re
import zipfile
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto_assets.sandbox.futures import STEP_S, Settled, Statistics
from crypto_assets.sandbox.market import HOUR_S, Backend
from crypto_assets.sandbox.prices import kline_rows
from crypto_assets.tables.derivatives import STATISTICS_START_LABELS

FUNDING_LIMIT, BARS_LIMIT, STATISTICS_LIMIT, BYBIT_LIMIT, BYBIT_BARS, CANDLES = 1000, 1500, 500, 200, 1000, 1000
SHOWN = timedelta(days=30)
PUBLISHED = timedelta(hours=3)  # after the end of its day a file is there
HEAD = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
INVALID_SYMBOL = {"code": -1121, "msg": "Invalid symbol."}
FILE = re.compile(r"([A-Z0-9]+)-metrics-(\d{4}-\d{2}-\d{2})\.zip(\.CHECKSUM)?")
NO_SUCH_KEY = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code></Error>'


def routes(backend: Backend) -> list[Route]:
    """Return the routes under ``/binance-futures``, ``/binance-archive``, ``/bybit`` and ``/deribit``."""
    futures = backend.futures

    def funding(request: Request) -> Response:
        asked = request.query_params
        found = futures.settlements("binance", asked.get("symbol", ""), *_span(asked))
        if found is None:
            return JSONResponse(INVALID_SYMBOL, 400)
        limit = min(int(asked.get("limit", 100)), FUNDING_LIMIT)
        rows = found[:limit] if "startTime" in asked or "endTime" in asked else found[-limit:]
        return JSONResponse([_settled(one, asked["symbol"]) for one in rows])

    def statistics(request: Request) -> Response:
        asked = request.query_params
        if asked.get("period") != "5m":
            return JSONResponse({"code": -1120, "msg": "Invalid period."}, 400)
        now = backend.now()
        oldest = (now - SHOWN).timestamp() if backend.mark == "sandbox" else 0.0
        first, last = int(asked.get("startTime", 0)) / 1000, int(asked.get("endTime", now.timestamp() * 1000)) / 1000
        if first < oldest:
            return JSONResponse({"code": -1130, "msg": "parameter 'startTime' is invalid."}, 400)
        found = futures.statistics("binance", asked.get("symbol", ""), first, last)
        limit = min(int(asked.get("limit", 30)), STATISTICS_LIMIT)
        path = request.url.path.rpartition("/")[2]
        rows = _shown(found, path, asked.get("symbol", "")) if found is not None else []
        return JSONResponse(rows[:limit])

    def klines(request: Request) -> Response:
        asked = request.query_params
        index = request.url.path.endswith("indexPriceKlines")
        first, last = int(asked.get("startTime", 0)) / 1000, int(asked.get("endTime", 10**13)) / 1000
        found = futures.bars("binance", asked.get("pair" if index else "symbol", ""), first, last)
        if found is None:
            return JSONResponse(INVALID_SYMBOL, 400)
        limit = min(int(asked.get("limit", 500)), BARS_LIMIT)
        return JSONResponse(kline_rows(found[index], limit))

    @lru_cache(maxsize=64)  # a file and its checksum are asked for one after the other
    def file_of(contract: str, day: date, opened: float) -> bytes | None:
        # Until the labels changed, a day's file began at 00:05 and ended with the next midnight.
        first = opened + (STEP_S if day < STATISTICS_START_LABELS else 0)
        found = futures.statistics("binance", contract, first, first + 86_400 - STEP_S)
        return _packed(found, contract, f"{contract}-metrics-{day}") if found is not None and len(found.label) else None

    def archive(request: Request) -> Response:
        named = FILE.fullmatch(request.path_params["file"])
        missing = Response(NO_SUCH_KEY, 404, media_type="application/xml")
        if named is None or named[1] != request.path_params["contract"]:
            return missing
        day = date.fromisoformat(named[2])
        opened = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        if opened + timedelta(days=1) + PUBLISHED > backend.now():
            return missing
        packed = file_of(named[1], day, opened.timestamp())
        if packed is None:
            return missing
        if named[3] is None:
            return Response(packed, media_type="application/zip")
        digest = hashlib.sha256(packed).hexdigest()
        return Response(f"{digest}  {named[1]}-metrics-{day}.zip\n", media_type="text/plain")

    def bybit_funding(request: Request) -> Response:
        asked = request.query_params
        found = futures.settlements("bybit", asked.get("symbol", ""), *_span(asked))
        if found is None or ("startTime" in asked and "endTime" not in asked):
            return _bybit_error("params error: symbol invalid" if found is None else "params error: endTime is needed")
        listed = [
            {"symbol": asked["symbol"], "fundingRate": _text(one.rate), "fundingRateTimestamp": str(one.stamp_ms)}
            for one in found[::-1][: min(int(asked.get("limit", BYBIT_LIMIT)), BYBIT_LIMIT)]
        ]
        return _bybit({"category": "linear", "list": listed})

    def bybit_interest(request: Request) -> Response:
        asked = request.query_params
        now_ms = int(backend.now().timestamp() * 1000)
        first, last = int(asked.get("startTime", 0)) / 1000, int(asked.get("endTime", now_ms)) / 1000
        found = futures.statistics("bybit", asked.get("symbol", ""), first, last)
        if found is None or asked.get("intervalTime") != "1h":
            return _bybit_error(
                "params error: symbol invalid" if found is None else "params error: intervalTime invalid"
            )
        rows = [
            {"openInterest": _text(interest), "timestamp": str(int(label) * 1000)}
            for label, interest in zip(found.label, found.interest, strict=True)
            if label % HOUR_S == 0
        ]
        return _bybit(
            {"symbol": asked["symbol"], "category": "linear", "list": rows[::-1][: int(asked.get("limit", 50))]}
        )

    def bybit_klines(request: Request) -> Response:
        asked = request.query_params
        first, last = int(asked.get("start", 0)) / 1000, int(asked.get("end", 10**13)) / 1000
        found = futures.bars("bybit", asked.get("symbol", ""), first, last)
        if found is None or asked.get("interval") != "60":
            return _bybit_error("params error: symbol invalid" if found is None else "params error: interval invalid")
        index = "index" in request.url.path
        rows = kline_rows(found[index], BYBIT_BARS)[::-1]
        columns = (0, 1, 2, 3, 4) if index else (0, 1, 2, 3, 4, 5, 7)
        listed = [[str(row[n]) for n in columns] for row in rows[: int(asked.get("limit", BYBIT_LIMIT))]]
        return _bybit({"symbol": asked["symbol"], "category": "linear", "list": listed})

    def volatility(request: Request) -> Response:
        asked = request.query_params
        bars = futures.volatility(asked.get("currency", ""))
        if bars is None or asked.get("resolution") != "3600":
            error = {"code": -32602, "message": "Invalid params"}
            return JSONResponse({"jsonrpc": "2.0", "error": error}, 400)
        first, last = int(asked["start_timestamp"]) / 1000, int(asked["end_timestamp"]) / 1000
        window = bars.between(first, last)
        rows = [
            [int(ts) * 1000, *values]
            for ts, *values in zip(
                window.ts, *(v.tolist() for v in (window.open, window.high, window.low, window.close)), strict=True
            )
        ]
        page = rows[-CANDLES:]
        more = page[0][0] - 1 if len(rows) > len(page) else None
        return JSONResponse({"jsonrpc": "2.0", "result": {"data": page, "continuation": more}})

    usdm, data = "/binance-futures/fapi/v1", "/binance-futures/futures/data"
    return [
        Route(f"{usdm}/fundingRate", funding),
        Route(f"{usdm}/klines", klines),
        Route(f"{usdm}/indexPriceKlines", klines),
        *(Route(f"{data}/{name}", statistics) for name in _FIELDS),
        Route("/binance-archive/data/futures/um/daily/metrics/{contract}/{file}", archive),
        Route("/bybit/v5/market/funding/history", bybit_funding),
        Route("/bybit/v5/market/open-interest", bybit_interest),
        Route("/bybit/v5/market/kline", bybit_klines),
        Route("/bybit/v5/market/index-price-kline", bybit_klines),
        Route("/deribit/api/v2/public/get_volatility_index_data", volatility),
    ]


# Route -> field of the answer -> series of the statistics.
_FIELDS = {
    "openInterestHist": {"sumOpenInterest": "interest", "sumOpenInterestValue": "value"},
    "globalLongShortAccountRatio": {"longShortRatio": "long_short"},
    "takerlongshortRatio": {"buySellRatio": "taker"},
}


def _span(asked: QueryParams) -> tuple[float, float]:
    """Return the first and the last millisecond that the query asks for."""
    return float(asked.get("startTime", "-inf")), float(asked.get("endTime", "inf"))


def _text(value: float) -> str:
    """A number as the venues write them: a string; empty where it is not recorded."""
    return "" if math.isnan(value) else repr(float(value))


def _settled(one: Settled, symbol: str) -> dict[str, object]:
    mark = "" if one.mark is None else _text(one.mark)
    return {"symbol": symbol, "fundingRate": _text(one.rate), "fundingTime": one.stamp_ms, "markPrice": mark}


def _shown(found: Statistics, route: str, symbol: str) -> list[dict[str, object]]:
    series = {field: getattr(found, name) for field, name in _FIELDS[route].items()}
    return [
        {
            "symbol": symbol,
            **{field: _text(values[n]) for field, values in series.items()},
            "timestamp": str(int(label) * 1000),
        }
        for n, label in enumerate(found.label)
        if any(not math.isnan(values[n]) for values in series.values())
    ]


def _packed(found: Statistics, contract: str, name: str) -> bytes:
    """The zip of a daily file; the same rows give the same bytes."""
    lines = [HEAD]
    columns: Iterable[tuple[float, ...]] = zip(
        found.label, found.interest, found.value, found.long_short, found.taker, strict=True
    )
    for label, interest, value, long_short, taker in columns:
        stamp = datetime.fromtimestamp(int(label), timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(
            ",".join((stamp, contract, _text(interest), _text(value), "", "", _text(long_short), _text(taker)))
        )
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(zipfile.ZipInfo(f"{name}.csv"), "\n".join(lines) + "\n")
    return held.getvalue()


def _bybit(result: dict[str, object]) -> Response:
    return JSONResponse({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}})


def _bybit_error(text: str) -> Response:
    return JSONResponse({"retCode": 10001, "retMsg": text, "result": {}, "retExtInfo": {}})
