"""Kraken public OHLC: the newest 720 hourly candles, in USD.

https://docs.kraken.com/api/docs/rest-api/get-ohlc-data: errors come as HTTP 200 with a non-empty ``error`` list; the
last row is the unfinished candle; numbers are strings, times seconds.
"""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta, timezone
from typing import Any

from crypto_assets.catalog import Coin
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.partitions import DAY, midnight
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Client
from crypto_assets.sources.fetched import number, positive, rows_of, source_name

NAME = "kraken"
HOUR = timedelta(hours=1)
ATTEMPTS = 4
PAUSE_S = 2.0
_HEALING = ("EAPI:Rate limit", "EGeneral:Too many requests", "EService:", "EGeneral:Internal error")


async def fetch_ohlc(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Finished hourly bars as (ts, open, high, low, close, volume, source); hours older than the window are not given."""
    if coin.kraken is None:
        raise NotListedError(f"kraken does not list {coin.symbol}")
    params = {"pair": coin.kraken, "interval": 60, "since": int(midnight(start).timestamp()) - 1}
    subject = f"{coin.symbol} {start} to {end}"
    for attempt in range(ATTEMPTS):
        answer = await client.get_json(NAME, f"{settings.kraken_base_url}/OHLC", params=params, subject=subject)
        try:
            bars = parse_ohlc(answer.body, subject)
            break
        except SourceError as error:
            if not error.transient or attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(PAUSE_S * 2**attempt)
    source = source_name(NAME, answer)
    inside = [
        (*bar, source) for bar in bars if midnight(start) <= bar[0] < midnight(end + DAY) and bar[0] + HOUR <= now
    ]
    return inside, [answer.digest]


def parse_ohlc(body: object, subject: str) -> list[tuple[datetime, float, float, float, float, float | None]]:
    """(open time, open, high, low, close, volume) of the finished candles. Raises :class:`SourceError`."""
    what = f"kraken OHLC of {subject}"
    if not isinstance(body, dict) or not isinstance(body.get("error"), list):
        raise SourceError(f"{what} has no error list; nothing was written; check KRAKEN_BASE_URL")
    if body["error"]:
        _raise_envelope(what, str(body["error"][0]))
    result = body.get("result")
    series = [rows for name, rows in result.items() if name != "last"] if isinstance(result, dict) else []
    if len(series) != 1:
        raise SourceError(f"{what} does not hold exactly one pair; nothing was written; try again later")
    found = []
    for row in rows_of(series[0], what)[:-1]:  # the last row is the candle in progress
        if not isinstance(row, list) or len(row) < 7:
            raise SourceError(f"{what} has a row of another shape; nothing was written; try again later")
        seconds = number(row[0], f"{what} time")
        if seconds is None or not 10**8 <= seconds <= 10**10 or seconds % 3600:
            raise SourceError(f"{what} has time {str(row[0])[:20]}, not an hour in seconds; nothing was written")
        values = [positive(value, f"{what} price") for value in row[1:5]]
        ts = datetime.fromtimestamp(int(seconds), timezone.utc)
        found.append((ts, values[0], values[1], values[2], values[3], number(row[6], f"{what} volume")))
    return found


def _raise_envelope(what: str, text: str) -> None:
    if text.startswith(("EQuery:Unknown asset pair", "EQuery:Invalid asset pair")):
        raise NotListedError(f"{what}: {text}")
    transient = text.startswith(_HEALING)
    advice = "wait and run again" if transient else "check the pair in the catalogue"
    raise SourceError(f"{what} was refused ({text[:80]}); nothing was written; {advice}", transient=transient)
