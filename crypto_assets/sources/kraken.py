"""Kraken public OHLC: the newest 720 hourly candles, in USD.

https://docs.kraken.com/api/docs/rest-api/get-ohlc-data: errors come as HTTP 200 with a non-empty ``error`` list; the
last row is the unfinished candle; numbers are strings, times seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Any, TypeAlias

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.partitions import DAY, midnight
from crypto_assets.schemas_context import KRAKEN_WINDOW
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Client
from crypto_assets.sources.fetched import (
    Fetched,
    each,
    named,
    number,
    positive,
    require_days,
    rows_of,
    source_name,
    utc,
)

NAME = "kraken"
Candle: TypeAlias = tuple[datetime, float, float, float, float, float | None, float | None, int | None]
COLUMNS = [
    "symbol", "ts", "date", "available_at", "source", "open", "high", "low", "close", "vwap", "volume", "trades",
]  # fmt: skip
HOUR = timedelta(hours=1)
ATTEMPTS = 4
PAUSE_S = 2.0
_HEALING = ("EAPI:Rate limit", "EGeneral:Too many requests", "EService:", "EGeneral:Internal error")


async def fetch_ohlc(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Finished hourly bars as (ts, open, high, low, close, volume, source); hours older than the window are not given."""
    candles, digests, source = await _candles(client, settings, coin, start, end, now)
    return [(*candle[:5], candle[6], source) for candle in candles], digests


async def fetch_kraken(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Rows of contract ``kraken_ohlc``: one request a coin, whatever the range; days older than 720 hours have no rows."""
    before = client.calls
    listed = [coin for coin in coins if coin.kraken is not None]
    missing = {coin.symbol: "no pair in the catalogue" for coin in coins if coin.kraken is None}
    answers, failed = await each(
        {coin.symbol: partial(_candles, client, settings, coin, start, end, now) for coin in listed}, missing
    )
    rows, digests = [], []
    for symbol, (candles, hashes, source) in answers.items():
        digests += hashes
        rows += [(symbol, ts, ts.date(), ts + HOUR, source, *values) for ts, *values in candles]
    frame = utc(pd.DataFrame(rows, columns=COLUMNS), "ts", "available_at")
    first = max(start, (now - KRAKEN_WINDOW + DAY).date())
    if answers and first <= end:
        require_days(frame["date"], first, end, now, f"kraken OHLC of {named(listed)}", missing={**failed, **missing})
    return Fetched(frame, tuple(digests), missing, client.calls - before, failed)


async def _candles(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime
) -> tuple[list[Candle], list[str], str]:
    if coin.kraken is None:
        raise NotListedError(f"kraken does not list {coin.symbol}")
    params = {"pair": coin.kraken, "interval": 60, "since": int(midnight(start).timestamp()) - 1}
    subject = f"{coin.symbol} {start} to {end}"
    for attempt in range(ATTEMPTS):
        answer = await client.get_json(
            NAME, f"{settings.kraken_base_url}/OHLC", params=params, subject=subject, endpoint="/OHLC"
        )
        try:
            found = parse_candles(answer.body, subject)
            break
        except SourceError as error:
            if not error.transient or attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(PAUSE_S * 2**attempt)
    source = source_name(NAME, answer)
    inside = [
        candle for candle in found if midnight(start) <= candle[0] < midnight(end + DAY) and candle[0] + HOUR <= now
    ]
    return inside, [answer.digest], source


def parse_ohlc(body: object, subject: str) -> list[tuple[datetime, float, float, float, float, float | None]]:
    """(open time, open, high, low, close, volume) of the finished candles. Raises :class:`SourceError`."""
    return [(*candle[:5], candle[6]) for candle in parse_candles(body, subject)]


def parse_candles(body: object, subject: str) -> list[Candle]:
    """(open time, open, high, low, close, vwap, volume, trades) of the finished candles. Raises :class:`SourceError`."""
    what = f"kraken OHLC of {subject}"
    series = [rows for name, rows in _result(body, what).items() if name != "last"]
    if len(series) != 1:
        raise SourceError(f"{what} does not hold exactly one pair; nothing was written; try again later")
    found: dict[datetime, Candle] = {}
    for row in rows_of(series[0], what):
        if not isinstance(row, list) or len(row) < 8:
            raise SourceError(f"{what} has a row of another shape; nothing was written; try again later")
        seconds = number(row[0], f"{what} time")
        if seconds is None or not 10**8 <= seconds <= 10**10 or seconds % 3600:
            raise SourceError(f"{what} has time {str(row[0])[:20]}, not an hour in seconds; nothing was written")
        values = [positive(value, f"{what} price") for value in row[1:5]]
        ts = datetime.fromtimestamp(int(seconds), timezone.utc)
        vwap, volume, trades = (
            number(row[n], f"{what} {name}") for n, name in ((5, "vwap"), (6, "volume"), (7, "trades"))
        )
        if (volume or 0) < 0 or (trades or 0) < 0 or (vwap or 0) < 0:
            raise SourceError(f"{what} has a volume below zero; nothing was written; try again later")
        count = None if trades is None else int(trades)
        candle = (ts, values[0], values[1], values[2], values[3], vwap or None, volume, count)
        if found.setdefault(ts, candle) != candle:
            raise SourceError(f"{what} has two candles at {ts:%Y-%m-%d %H:%M}; nothing was written; try again later")
    return [found[ts] for ts in sorted(found)][:-1]  # the newest is the candle in progress


async def fetch_pairs(client: Client, settings: Settings) -> frozenset[str]:
    """Altnames of every pair that Kraken lists (``/AssetPairs``)."""
    answer = await client.get_json(NAME, f"{settings.kraken_base_url}/AssetPairs", endpoint="/AssetPairs")
    result = _result(answer.body, "kraken AssetPairs")
    return frozenset(str(pair.get("altname", name)) for name, pair in result.items() if isinstance(pair, dict))


async def fetch_ticker(client: Client, settings: Settings, coin: Coin) -> float:
    """The last trade's price in USD (``/Ticker``). Raises :class:`SourceError`."""
    params = {"pair": coin.kraken}
    answer = await client.get_json(
        NAME, f"{settings.kraken_base_url}/Ticker", params=params, subject=coin.symbol, endpoint="/Ticker"
    )
    what = f"kraken Ticker of {coin.symbol}"
    (pair, *_) = [*_result(answer.body, what).values(), None]
    last = pair.get("c") if isinstance(pair, dict) else None
    if not isinstance(last, list) or not last:
        raise SourceError(f"{what} has no last trade; try again later")
    return positive(last[0], what)


def _result(body: object, what: str) -> dict[str, Any]:
    """What is in the envelope. Raises :class:`SourceError` for an error in it or another shape."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), list):
        raise SourceError(f"{what} has no error list; nothing was written; check KRAKEN_BASE_URL")
    if body["error"]:
        _raise_envelope(what, str(body["error"][0]))
    if not isinstance(body.get("result"), dict):
        raise SourceError(f"{what} has no result; nothing was written; try again later")
    return dict(body["result"])


def _raise_envelope(what: str, text: str) -> None:
    if text.startswith(("EQuery:Unknown asset pair", "EQuery:Invalid asset pair")):
        raise NotListedError(f"{what}: {text}")
    transient = text.startswith(_HEALING)
    advice = "wait and run again" if transient else "check the pair in the catalogue"
    raise SourceError(f"{what} was refused ({text[:80]}); nothing was written; {advice}", transient=transient)
