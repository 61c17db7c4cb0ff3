"""Deribit's volatility index DVOL: hourly candles of BTC and ETH, without a key.

Format: https://docs.deribit.com/api-reference/market-data/public-get_volatility_index_data. Times are in milliseconds. An
answer has about 1,000 candles, the newest of the window; ``continuation`` is the ``end_timestamp`` of the next request,
so that pages go backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Answer, Client, ResponseError
from crypto_assets.sources.contracts import MILLISECOND, on_the_hour
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
from crypto_assets.sources.reading import HOUR, SHAPE, Bars, BarTable, Reading, gathered
from crypto_assets.tables.derivatives import DVOL_OWED_SINCE, DVOL_SINCE, IMPLIED_VOLATILITY

NAME = "deribit"
PATH = "/api/v2/public/get_volatility_index_data"
INVALID = -32602  # "Invalid params": a currency that has no index, for one
MUST = (
    "the provider would have to give candles with times in milliseconds and values above zero: check DERIBIT_BASE_URL, or "
    "try again later"
)


async def fetch_volatility(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the finished candles that open in the days ``start``..``end`` (contract ``implied_volatility``).

    Args:
        client: makes the requests: one per 1,000 hours and coin.
        settings: the base address.
        coins: the coins; those without an index cost no request.
        start: the first UTC day.
        end: the last UTC day, included.
        now: candles that close later are unfinished and left out.

    Returns:
        The rows. ``missing`` names coins without an index.

    Raises:
        SourceError: too many coins failed, or a day that is over has no row of any coin.
    """
    before = client.calls
    first = max(start, DVOL_SINCE)
    missing = {coin.symbol: f"deribit has no volatility index of {coin.symbol}" for coin in coins if not coin.deribit}
    asked = [coin for coin in coins if coin.deribit and first <= end]
    readings = {coin.symbol: Reading(coin.symbol, first, end, now) for coin in asked}
    calls = {coin.symbol: partial(_candles, client, settings, coin, readings[coin.symbol]) for coin in asked}
    answers, failed = await each(calls, missing)
    rows = [
        (symbol, ts, ts.date(), ts + HOUR, source, *values)
        for symbol, bars in answers.items()
        for ts, *values, _, source in bars.rows
    ]
    missing |= {symbol: bars.why for symbol, bars in answers.items() if not bars.rows}
    frame = utc(pd.DataFrame(rows, columns=IMPLIED_VOLATILITY.given_names), "ts", "available_at")
    set_aside, surplus = gathered(readings.values())
    if answers or failed:
        what = f"deribit get_volatility_index_data of {named(asked)}"
        reasons = {**failed, **missing}
        owed = max(first, DVOL_OWED_SINCE)
        require_days(frame["date"], owed, end, now, what, missing=reasons, set_aside=set_aside)
    digests = tuple(digest for bars in answers.values() for digest in bars.digests)
    return Fetched(frame, digests, missing, client.calls - before, failed, set_aside=set_aside, surplus=surplus)


async def _candles(client: Client, settings: Settings, coin: Coin, reading: Reading) -> Bars:
    if coin.deribit is None:
        raise NeverListedError(f"deribit has no volatility index of {coin.symbol}")
    table, digests = BarTable(reading), []
    first, last = midnight(reading.start), min(midnight(reading.end + DAY) - MILLISECOND, reading.now)
    subject = f"{coin.symbol} {reading.start} to {reading.end}"
    what = f"deribit get_volatility_index_data of {subject}"
    while last >= first:
        answer = await _ask(client, settings, coin, first, last, subject)
        digests.append(answer.digest)
        result = answer.body.get("result") if isinstance(answer.body, dict) else None
        if not isinstance(result, dict):
            raise SourceError(f"{what} has no result; nothing was written; check DERIBIT_BASE_URL, or try again later")
        read_candles(result.get("data"), what, table, source_name(NAME, answer))
        following = result.get("continuation")
        if following is None:
            break
        older = reading.instant(following, MILLISECOND, "continuation")
        if older is None or older >= last:
            raise SourceError(
                f"{what} repeats a page: its continuation {following} is not before the window's end; nothing of the "
                "coin was written; try again later"
            )
        last = older
    return Bars(table.in_order(), digests, why=f"deribit gives no candle of {coin.deribit} in these days")


async def _ask(client: Client, settings: Settings, coin: Coin, first: datetime, last: datetime, subject: str) -> Answer:
    params = {
        "currency": coin.deribit,
        "start_timestamp": int(first.timestamp() * 1000),
        "end_timestamp": int(last.timestamp() * 1000),
        "resolution": "3600",
    }
    url = f"{settings.deribit_base_url}{PATH}"
    try:
        return await client.get_json("deribit", url, params=params, subject=subject, endpoint=PATH)
    except ResponseError as error:
        detail = error.body.get("error") if isinstance(error.body, dict) else None
        if isinstance(detail, dict) and detail.get("code") == INVALID:
            raise not_listed(
                f"deribit has no volatility index of {coin.deribit}", error.sandbox, error.status
            ) from error
        raise


def read_candles(body: object, what: str, table: BarTable, source: str) -> None:
    """Put the candles of one page into the table.

    Args:
        body: the list of ``[time, open, high, low, close]``.
        what: the provider, route, coin and window, for messages.
        table: receives (ts, open, high, low, close, None, source).
        source: the value of the ``source`` column.

    Raises:
        SourceError: the answer has another shape, or most rows cannot be trusted.
    """
    rows, reading = rows_of(body, what), table.reading
    for row in rows:
        if not isinstance(row, list) or len(row) < 5:
            reading.aside(SHAPE, row)
            continue
        at = reading.instant(row[0], MILLISECOND, row)
        ts = on_the_hour(at, reading, row) if at is not None else None
        values = reading.prices(row[1:5], ts, row) if ts is not None else None
        if ts is not None and values is not None:
            table.add((ts, *values, None, source), 5)
    reading.judge(what, len(rows), MUST)
