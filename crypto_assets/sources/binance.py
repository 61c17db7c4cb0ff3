"""Binance spot klines: deep hourly history with volume, keyless.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints: times in milliseconds,
numbers as strings, at most 1,000 rows, the last may be unfinished. The quote is USDT, and the source says so.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from crypto_assets.catalog import Coin
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.partitions import DAY, midnight
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Client, ResponseError
from crypto_assets.sources.fetched import number, positive, rows_of, source_name

NAME = "binance_usdt"
LIMIT = 1000
HOUR = timedelta(hours=1)
INVALID_SYMBOL = -1121


async def fetch_ohlc(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Finished hourly bars as (ts, open, high, low, close, volume, source), for bars that open in the inclusive days."""
    if coin.binance is None:
        raise NotListedError(f"binance does not list {coin.symbol}")
    rows: dict[datetime, tuple[Any, ...]] = {}
    digests = []
    cursor, stop = midnight(start), midnight(end + DAY) - timedelta(milliseconds=1)
    while cursor <= stop:
        subject = f"{coin.symbol} {cursor:%Y-%m-%d %H:%M} to {end}"
        params = {
            "symbol": coin.binance,
            "interval": "1h",
            "startTime": int(cursor.timestamp() * 1000),
            "endTime": int(stop.timestamp() * 1000),
            "limit": LIMIT,
        }
        try:
            answer = await client.get_json(
                "binance", f"{settings.binance_base_url}/klines", params=params, subject=subject, endpoint="/klines"
            )
        except ResponseError as error:
            if isinstance(error.body, dict) and error.body.get("code") == INVALID_SYMBOL:
                raise NotListedError(f"binance does not list {coin.binance}", status=error.status) from error
            raise
        digests.append(answer.digest)
        page = parse_klines(answer.body, subject)
        source = source_name(NAME, answer)
        for ts, *values in page:
            if cursor <= ts <= stop and ts + HOUR <= now:
                rows[ts] = (ts, *values, source)
        newest = max((row[0] for row in page), default=None)
        if newest is None or newest < cursor:
            break  # an empty page ends the history; a short one does not
        cursor = newest + HOUR
        if cursor > now:
            break
    return [rows[ts] for ts in sorted(rows)], digests


def parse_klines(body: object, subject: str) -> list[tuple[datetime, float, float, float, float, float | None]]:
    """(open time, open, high, low, close, volume) of each row. Raises :class:`SourceError` for any other shape."""
    what = f"binance klines of {subject}"
    found = []
    for row in rows_of(body, what):
        if not isinstance(row, list) or len(row) < 7:
            raise SourceError(f"{what} has a row of another shape; nothing was written; try again later")
        opened = number(row[0], f"{what} time")
        if opened is None or not 10**11 <= opened <= 10**13 or opened % 3_600_000:
            raise SourceError(
                f"{what} has open time {str(row[0])[:20]}, not an hour in milliseconds; nothing was written"
            )
        values = [positive(value, f"{what} price") for value in row[1:5]]
        volume = number(row[5], f"{what} volume")
        if volume is not None and volume < 0:
            raise SourceError(f"{what} has a negative volume; nothing was written; try again later")
        ts = datetime.fromtimestamp(int(opened) // 1000, timezone.utc)
        found.append((ts, values[0], values[1], values[2], values[3], volume))
    return found
