"""Hourly bars: each coin comes from the first source in OHLC_SOURCES that lists it.

If a source fails, the next one is not asked, because the bars of one coin would then change their venue from day to
day. If a source no longer has the pair, the next one continues from the hour after its last bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.dates import midnight
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources import binance, coingecko, kraken
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched, NeverListedError, each, named, require_days, utc
from crypto_assets.sources.reading import HOUR, Bars, Reading, gathered

SOURCES = {"binance": binance.fetch_ohlc, "kraken": kraken.fetch_ohlc, "coingecko": coingecko.fetch_ohlc}
REFUSED_PLACE = 451


async def fetch_ohlc(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the finished bars of these coins that open in the days ``start``..``end`` (contract ``ohlc``).

    Args:
        client: makes the requests.
        settings: base addresses and ``OHLC_SOURCES``.
        coins: the coins.
        start: the first UTC day.
        end: the last UTC day, included.
        now: bars that close later are unfinished and left out.

    Returns:
        The rows. ``missing`` names coins that no source lists, or listed by then. ``failed`` names coins whose rows
        could not be had, among them coins whose pair no source has any more.

    Raises:
        SourceError: too many coins failed (see ``each``), or a day that is over has no row of any coin.
    """
    before = client.calls
    missing: dict[str, str] = {}
    readings = {coin.symbol: Reading(coin.symbol, start, end, now) for coin in coins}
    answers, failed = await each(
        {
            coin.symbol: partial(_bars_of, client, settings, coin, start, end, now, readings[coin.symbol])
            for coin in coins
        },
        missing,
    )
    rows: list[tuple[Any, ...]] = []
    digests: list[str] = []
    for symbol, bars in answers.items():
        digests += bars.digests
        if not bars.rows:
            missing[symbol] = bars.why
        for ts, opened, high, low, close, volume, source in bars.rows:
            rows.append((symbol, ts, ts.date(), ts + HOUR, source, opened, high, low, close, volume))
    columns = ["symbol", "ts", "date", "available_at", "source", "open", "high", "low", "close", "volume"]
    frame = utc(pd.DataFrame(rows, columns=columns), "ts", "available_at")
    set_aside, surplus = gathered(readings.values())
    what = f"hourly bars ({', '.join(settings.ohlc_sources)}) of {named(coins)}"
    require_days(frame["date"], start, end, now, what, missing={**failed, **missing}, set_aside=set_aside)
    return Fetched(frame, tuple(digests), missing, client.calls - before, failed, set_aside=set_aside, surplus=surplus)


async def _bars_of(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime, reading: Reading
) -> Bars:
    """Fetch bars from the first source that lists the coin; after the end of its pair, from the next source.

    Raises:
        NeverListedError: the catalogue names the coin at none of the sources.
        NotListedError: the catalogue names it, and none of the sources has the pair any more.
    """
    never: list[str] = []
    gone: list[str] = []
    found = Bars([], [])
    since = midnight(start)
    for name in settings.ohlc_sources:
        try:
            bars = await SOURCES[name](client, settings, coin, start, end, now, reading)
        except NeverListedError as error:
            never.append(str(error))
            continue
        except NotListedError as error:
            gone.append(str(error))
            continue
        except SourceError as error:
            if error.status == REFUSED_PLACE:
                raise _refused_place(name, error) from error
            raise
        found.digests += bars.digests
        found.rows += [row for row in bars.rows if row[0] >= since]
        found.why = bars.why
        if bars.ended is None and (bars.rows or not gone):
            return found
        gone.append(bars.why)
        since = max(since, bars.ended or since)
    if found.rows:
        return found
    if not gone:
        raise NeverListedError(f"no source lists it: {'; '.join(never)}")
    raise NotListedError(f"no source has bars of {coin.symbol} from {start} to {end}: {'; '.join(gone + never)}")


def _refused_place(name: str, error: SourceError) -> SourceError:
    return SourceError(
        f"{error}; {name} refuses requests from this place: leave it out of OHLC_SOURCES (for example "
        f"OHLC_SOURCES={','.join(other for other in SOURCES if other != name)}), or set {name.upper()}_BASE_URL to an "
        "address that answers here",
        status=error.status,
    )
