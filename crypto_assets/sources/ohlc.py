"""Hourly bars: each coin comes from the first source in OHLC_SOURCES that lists it.

If a source fails, the next one is not asked, because the bars of one coin would then change their venue from day to
day. If a source no longer has the pair, the next one continues from the hour after its last bar.

Each source is asked for the name that it had for the coin in those days (:mod:`crypto_assets.catalog.listings`), and
prices of an older unit of the coin are converted to today's. So a coin has one series over a rename or a
redenomination, and hours in which a name meant another coin are no part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any, TypeAlias

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.catalog.listings import SPOT, Listing, listed_in, never_traded, why_not
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources import binance, coingecko, kraken
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import REFUSALS, Fetched, NeverListedError, each, named, require_days, utc
from crypto_assets.sources.reading import HOUR, Bars, Reading, gathered

SOURCES = {"binance": binance.fetch_ohlc, "kraken": kraken.fetch_ohlc, "coingecko": coingecko.fetch_ohlc}
REFUSED_PLACE = 451
OTHER_SPAN = "bar of a time in which the name meant something else"


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
        The rows. ``missing`` names coins that no source lists, or listed by then, also those that the catalogue calls
        delisted. ``failed`` names coins whose rows
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
        if bars.failed:
            failed[symbol] = bars.failed
        for ts, *values, source, factor in bars.rows:
            rows.append((symbol, ts, ts.date(), ts + HOUR, source, *values, factor))
    columns = ["symbol", "ts", "date", "available_at", "source", "open", "high", "low", "close", "volume", "factor"]
    frame = utc(pd.DataFrame(rows, columns=columns), "ts", "available_at")
    set_aside, surplus = gathered(readings.values())
    what = f"hourly bars ({', '.join(settings.ohlc_sources)}) of {named(coins)}"
    covered = [*frame["date"], *_nobody_traded(settings, coins, start, end)]
    require_days(covered, start, end, now, what, missing={**failed, **missing}, set_aside=set_aside)
    return Fetched(frame, tuple(digests), missing, client.calls - before, failed, set_aside=set_aside, surplus=surplus)


def _nobody_traded(settings: Settings, coins: Sequence[Coin], start: date, end: date) -> list[date]:
    """Return the days on which, as the catalogue says, no source traded any of the coins: no row is due then."""
    venues = [name for name in settings.ohlc_sources if name in SPOT]
    return [day for day in days(start, end) if never_traded(coins, venues, midnight(day), midnight(day + DAY))]


async def _bars_of(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime, reading: Reading
) -> Bars:
    """Fetch bars from the first source that lists the coin; where its pair has ended, from the next source.

    Raises:
        NeverListedError: the catalogue names the coin at none of the sources, or says that none traded it in the range.
        NotListedError: the catalogue names it, and none of the sources has the pair any more.
    """
    never: list[str] = []
    gone: list[str] = []
    found = Bars([], [])
    lost: list[Span] = []  # ends that no row of the catalogue explains
    lacking = [(midnight(start), midnight(end + DAY))]
    for name in settings.ohlc_sources:
        asked = _listings(coin, name, lacking)
        if not asked:
            never.append(why_not(coin, name, lacking[0][0]))
            continue
        lacking = _without(lacking, [span for _, span in asked])  # hours that no listing of this source covers
        for listing, span in asked:
            try:
                bars = await _bars_in(client, settings, coin, listing, span, now, reading)
            except NotListedError as error:
                (never if isinstance(error, NeverListedError) else gone).append(str(error))
                lacking.append(span)
                continue
            except SourceError as error:
                error = _refused_place(name, error) if error.status == REFUSED_PLACE else error
                if not found.rows or error.status in REFUSALS:
                    raise error
                found.failed = str(error)  # what the source before gave is stored
                continue
            found.digests += bars.digests
            found.rows += bars.rows
            found.why = bars.why
            if bars.ended is not None or not (bars.rows or not gone):
                gone.append(bars.why)
                lacking.append((max(span[0], bars.ended or span[0]), span[1]))
                lost += lacking[-1:] if bars.ended is not None else []
        lacking = [span for span in sorted(lacking) if span[0] < min(span[1], now)]
        if not lacking:
            return found
    if found.rows or (found.why and not gone):
        ends = [first for first, last in lost for begin, end in lacking if begin < last and first < end]
        if ends and not found.failed:
            found.failed = (
                f"no source has bars of {coin.symbol} from {min(ends):%Y-%m-%d %H:%M} on ({'; '.join(gone)}); the bars "
                "before are stored; if the pair was renamed or delisted, add its row to crypto_assets/catalog/listings.csv"
            )
        return found
    if not gone:
        raise NeverListedError(f"no source lists it: {'; '.join(never)}")
    raise NotListedError(f"no source has bars of {coin.symbol} from {start} to {end}: {'; '.join(gone + never)}")


Span: TypeAlias = tuple[datetime, datetime]  # the first hour, and the hour after the last one


def _listings(coin: Coin, source: str, spans: Sequence[Span]) -> list[tuple[Listing, Span]]:
    """Return under which names the source traded the coin in these spans, and from when to when."""
    return [
        (one, (max(first, one.since), min(last, one.until)))
        for first, last in spans
        for one in listed_in(coin, source, first, last)
    ]


def _without(spans: Sequence[Span], covered: Sequence[Span]) -> list[Span]:
    """Return the parts of the spans that are not covered; covered ones are in order of time and lie in the spans."""
    left: list[Span] = []
    for first, last in spans:
        for begin, end in covered:
            if begin < last and first < end:
                left.append((first, begin))
                first = end
        left.append((first, last))
    return [(first, last) for first, last in left if first < last]


async def _bars_in(
    client: Client, settings: Settings, coin: Coin, listing: Listing, span: Span, now: datetime, reading: Reading
) -> Bars:
    """Fetch the bars of one listing, in the coin's unit of today; hours outside the span are left out.

    Rows get one more element: the factor by which the venue's prices were divided.
    """
    name: dict[str, Any] = {listing.venue: listing.ticker}
    named_then = replace(coin, **name)
    first, last = span[0].date(), (span[1] - HOUR).date()
    bars = await SOURCES[listing.venue](client, settings, named_then, first, last, now, reading)
    inside = [row for row in bars.rows if span[0] <= row[0] < span[1]]
    reading.spare(OTHER_SPAN, len(bars.rows) - len(inside))
    bars.rows = [
        (ts, *(price / listing.factor for price in prices), volume and volume * listing.factor, source, listing.factor)
        for ts, *prices, volume, source in inside
    ]
    if bars.ended is not None and bars.ended >= span[1]:
        bars.ended = None  # the pair ended as the catalogue says
    return bars


def _refused_place(name: str, error: SourceError) -> SourceError:
    return SourceError(
        f"{error}; {name} refuses requests from this place: leave it out of OHLC_SOURCES (for example "
        f"OHLC_SOURCES={','.join(other for other in SOURCES if other != name)}), or set {name.upper()}_BASE_URL to an "
        "address that answers here",
        status=error.status,
    )
