"""Hourly bars, each coin from the first source in OHLC_SOURCES that lists it.

A source that fails does not hand over to the next one: bars of one coin would change their venue with the weather.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources import binance, coingecko, kraken
from crypto_assets.sources.client import Client
from crypto_assets.sources.fetched import Fetched, each, named, require_days, utc

ROUTES = {"binance": "klines", "kraken": "OHLC", "coingecko": "ohlc/range"}
SOURCES = {"binance": binance.fetch_ohlc, "kraken": kraken.fetch_ohlc, "coingecko": coingecko.fetch_ohlc}
HOUR = timedelta(hours=1)


async def fetch_ohlc(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Bars of these coins that open in the inclusive days and are finished (contract ``ohlc``)."""
    before = client.calls
    missing: dict[str, str] = {}
    answers, failed = await each(
        {coin.symbol: partial(_bars_of, client, settings, coin, start, end, now) for coin in coins}, missing
    )
    rows: list[tuple[Any, ...]] = []
    digests: list[str] = []
    for symbol, (bars, hashes) in answers.items():
        digests += hashes
        if not bars:
            routes = " or ".join(f"{name} {ROUTES[name]}" for name in settings.ohlc_sources)
            missing[symbol] = f"{routes} answered without bars in the range"
        for ts, opened, high, low, close, volume, source in bars:
            rows.append((symbol, ts, ts.date(), ts + HOUR, source, opened, high, low, close, volume))
    columns = ["symbol", "ts", "date", "available_at", "source", "open", "high", "low", "close", "volume"]
    frame = utc(pd.DataFrame(rows, columns=columns), "ts", "available_at")
    what = f"hourly bars ({', '.join(settings.ohlc_sources)}) of {named(coins)}"
    require_days(frame["date"], start, end, now, what, missing={**failed, **missing})
    return Fetched(frame, tuple(digests), missing, client.calls - before, failed)


async def _bars_of(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime
) -> tuple[list[tuple[Any, ...]], list[str]]:
    unlisted = []
    for name in settings.ohlc_sources:
        try:
            bars, hashes = await SOURCES[name](client, settings, coin, start, end, now)
        except NotListedError as error:
            unlisted.append(str(error))
            continue
        for ts, opened, high, low, close, *_ in bars:
            if high < max(opened, close, low) or low > min(opened, close):
                raise SourceError(
                    f"{name} {ROUTES[name]} bar of {coin.symbol} at {ts:%Y-%m-%d %H:%M} has a high or low inside its open and "
                    "close; nothing was written; try again later"
                )
        return bars, hashes
    raise NotListedError(f"no source lists it: {'; '.join(unlisted)}")
