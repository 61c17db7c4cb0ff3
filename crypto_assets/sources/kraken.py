"""Kraken public OHLC: the newest 720 hourly candles, in USD.

Format: https://docs.kraken.com/api/docs/rest-api/get-ohlc-data. Errors come as HTTP 200 with a non-empty ``error``
list, which may also hold warnings ("W…") beside a complete result. The candle of the hour in progress is unfinished;
the clock tells which one it is, not its position in the list. Numbers are strings, and times are in seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import (
    Fetched,
    NeverListedError,
    each,
    named,
    not_listed,
    require_days,
    rows_of,
    source_name,
    utc,
)
from crypto_assets.sources.reading import HOUR, OFF_HOUR, SHAPE, Bars, BarTable, Reading, gathered, refuse_coarse
from crypto_assets.tables.prices import KRAKEN_WINDOW

NAME = "kraken"
Candle: TypeAlias = tuple[datetime, float, float, float, float, float | None, float | None, int | None]
COLUMNS = [
    "symbol", "ts", "date", "available_at", "source", "open", "high", "low", "close", "vwap", "volume", "trades",
]  # fmt: skip
ATTEMPTS = 4
PAUSE_S = 2.0
# https://docs.kraken.com/api/docs/guides/spot-errors: EService, EDatabase and most of EGeneral concern the exchange and
# are temporary. The rest concerns the request.
_PASSING = ("eservice:", "edatabase:", "egeneral:", "eapi:rate limit", "eorder:rate limit", "etrade:rate limit")
_LASTING = (
    "egeneral:invalid arguments", "egeneral:permission denied", "egeneral:unknown method", "egeneral:feature disabled",
)  # fmt: skip
_UNKNOWN_PAIR = ("equery:unknown asset pair", "equery:invalid asset pair", "equery:unknown asset")
# No candle for this long means that the pair has ended: Kraken gives quiet hours as candles without volume.
_SILENT = timedelta(days=1)
MUST = (
    "the provider would have to give hourly candles with times in seconds and prices above zero: check KRAKEN_BASE_URL "
    "and the pair in the catalogue, or try again later"
)


async def fetch_ohlc(
    client: Client,
    settings: Settings,
    coin: Coin,
    start: date,
    end: date,
    now: datetime,
    reading: Reading | None = None,
) -> Bars:
    """Fetch the finished hourly bars of one coin; hours older than the window of 720 are not given.

    Args:
        client: makes the one request.
        settings: the base address.
        coin: the coin whose USD pair is asked for.
        start: the first UTC day.
        end: the last UTC day, included.
        now: bars that close later are unfinished and left out.
        reading: counts what is not a row; by default a new one that is thrown away.

    Returns:
        The bars in order of time.

    Raises:
        NotListedError: Kraken does not know the pair.
        NeverListedError: the catalogue has no pair for the coin.
        SourceError: the answer cannot be had, or most of it cannot be trusted.
    """
    reading = reading or Reading(coin.symbol, start, end, now)
    candles, digest, source, given = await _candles(client, settings, coin, start, end, now, reading)
    rows = [(*candle[:5], candle[6], source) for candle in candles]
    dead = not given and now - midnight(start) >= _SILENT
    return Bars(rows, [digest], midnight(start) if dead else None, "" if rows else _why(coin, start, end, now, dead))


async def fetch_kraken(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the rows of contract ``kraken_ohlc``: one request per coin; days older than 720 hours have no rows.

    A coin whose pair Kraken does not know (any more), or for which it answers without a candle, is in ``failed``.

    Args:
        client: makes the requests.
        settings: the base address.
        coins: the coins.
        start: the first UTC day.
        end: the last UTC day, included.
        now: candles that close later are unfinished and left out.

    Returns:
        The rows.

    Raises:
        SourceError: too many coins failed (see ``each``), or a day that Kraken must show has no row.
    """
    before = client.calls
    listed = [coin for coin in coins if coin.kraken is not None]
    missing = {coin.symbol: "no pair in the catalogue" for coin in coins if coin.kraken is None}
    readings = {coin.symbol: Reading(coin.symbol, start, end, now) for coin in listed}

    async def one(coin: Coin) -> tuple[list[Candle], str, str]:
        candles, digest, source, given = await _candles(client, settings, coin, start, end, now, readings[coin.symbol])
        if not candles:
            dead = not given and now - midnight(start) >= _SILENT
            why = _why(coin, start, end, now, dead)
            if dead:
                raise NotListedError(f"{why}; correct the catalogue")
            missing[coin.symbol] = why
        return candles, digest, source

    answers, failed = await each({coin.symbol: partial(one, coin) for coin in listed}, missing)
    rows, digests = [], []
    for symbol, (candles, digest, source) in answers.items():
        digests.append(digest)
        rows += [(symbol, ts, ts.date(), ts + HOUR, source, *values) for ts, *values in candles]
    frame = utc(pd.DataFrame(rows, columns=COLUMNS), "ts", "available_at")
    set_aside, surplus = gathered(readings.values())
    first = max(start, (now - KRAKEN_WINDOW + DAY).date())
    if (answers or failed) and first <= end:
        what = f"kraken OHLC of {named(listed)}"
        require_days(frame["date"], first, end, now, what, missing={**failed, **missing}, set_aside=set_aside)
    return Fetched(frame, tuple(digests), missing, client.calls - before, failed, set_aside=set_aside, surplus=surplus)


def _why(coin: Coin, start: date, end: date, now: datetime, dead: bool) -> str:
    if dead:
        return f"kraken OHLC answers without candles of {coin.kraken} since {start}"
    if midnight(end + DAY) <= now - KRAKEN_WINDOW:
        return f"kraken OHLC shows the newest 720 hours only, and {end} is older"
    return f"kraken OHLC has no finished candle of {coin.kraken} from {start} to {end}"


async def _candles(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime, reading: Reading
) -> tuple[list[Candle], str, str, int]:
    """Return (finished candles of the days, the answer's digest, source, the number of rows in the answer)."""
    if coin.kraken is None:
        raise NeverListedError(f"kraken does not list {coin.symbol}")
    params = {"pair": coin.kraken, "interval": 60, "since": int(midnight(start).timestamp()) - 1}
    subject = f"{coin.symbol} {start} to {end}"
    what = f"kraken OHLC of {subject}"
    for attempt in range(ATTEMPTS):
        answer = await client.get_json(
            NAME, f"{settings.kraken_base_url}/OHLC", params=params, subject=subject, endpoint="/OHLC"
        )
        try:
            rows = rows_of_pair(answer.body, what)
            break
        except NotListedError as error:
            raise not_listed(str(error), answer.sandbox) from error
        except SourceError as error:
            if not error.transient or attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(PAUSE_S * 2**attempt * random.uniform(0.5, 1.0))
    table = BarTable(reading)
    read_candles(rows, what, table)
    return [*table.in_order()], answer.digest, source_name(NAME, answer), len(rows)


def rows_of_pair(body: object, what: str) -> list[Any]:
    """Find the rows of the one pair that an answer is about.

    Args:
        body: the parsed JSON.
        what: the provider, route and coin, for error messages.

    Returns:
        The rows, whatever they hold.

    Raises:
        NotListedError: Kraken does not know the pair.
        SourceError: the answer is an error or has another shape.
    """
    series = [rows for name, rows in _result(body, what).items() if name != "last"]
    if len(series) != 1:
        raise SourceError(f"{what} does not hold exactly one pair; nothing was written; try again later")
    return rows_of(series[0], what)


def read_candles(rows: Sequence[object], what: str, table: BarTable) -> None:
    """Put the finished candles of an answer into the table.

    Args:
        rows: what :func:`rows_of_pair` found in the answer.
        what: the provider, route and coin, for error messages.
        table: gets the candles; its reading knows the days and the current time.

    Raises:
        SourceError: most rows cannot be trusted.
    """
    reading, opens = table.reading, []
    for row in rows:
        if not isinstance(row, list) or len(row) < 8:
            reading.aside(SHAPE, row)
            continue
        ts = reading.instant(row[0], timedelta(seconds=1), row)
        if ts is None:
            continue
        if ts.minute or ts.second:
            reading.aside(OFF_HOUR, row, ts)
            continue
        opens.append(ts)
        prices = reading.prices(row[1:5], ts, row)
        if prices is None:
            continue
        vwap, volume, trades = (
            reading.cell(row[n], name, ts) for n, name in ((5, "vwap"), (6, "volume"), (7, "trades"))
        )
        table.add((ts, *prices, vwap or None, volume, None if trades is None else int(trades)), 6)
    reading.judge(what, len(rows), MUST)
    refuse_coarse(opens, what, MUST)


def _result(body: object, what: str) -> dict[str, Any]:
    """Return the content of the envelope. Raises :class:`SourceError` for an error in it or another shape."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), list):
        raise SourceError(f"{what} has no error list; nothing was written; check KRAKEN_BASE_URL")
    errors = [str(text) for text in body["error"] if not str(text).startswith("W")]
    if errors:
        _raise_envelope(what, errors[0])
    if not isinstance(body.get("result"), dict):
        raise SourceError(
            f"{what} has no result ({' '.join(str(body['error'][:1]).split())[:80]}); nothing was written; try again later"
        )
    return dict(body["result"])


def _raise_envelope(what: str, text: str) -> None:
    """Raise a temporary error as transient, an unknown pair as not listed, and any other as an error of the request."""
    kind = text.lower()
    if kind.startswith(_UNKNOWN_PAIR):
        raise NotListedError(f"{what}: {text[:80]}; correct the catalogue")
    transient = kind.startswith(_PASSING) and not kind.startswith(_LASTING)
    advice = "wait and run again" if transient else "check the pair in the catalogue"
    raise SourceError(f"{what} was refused ({text[:80]}); nothing was written; {advice}", transient=transient)
