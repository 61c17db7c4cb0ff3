"""CoinGecko's prices of the day in progress, with few calls: one page gives the newest hour of 250 coins.

A page shows the price of a coin at its own ``last_updated``. Within 15 minutes after the hour mark it counts as the
hour's first observation. Later there may have been an earlier one, which a range call gives. Hours that a page cannot
give (a tick that failed, a cold start, a page older than the mark) take one range call per coin. Hours that the table
has cost nothing. Range calls settle the end of the day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.dates import midnight
from crypto_assets.errors import NotListedError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.coingecko import fetch_markets, fetch_prices
from crypto_assets.sources.coingecko_points import PRICE_COLUMNS
from crypto_assets.sources.fetched import Fetched, about
from crypto_assets.sources.reading import HOUR

ON_THE_MARK = timedelta(minutes=15)  # a later update may not be the hour's first observation
CACHED = timedelta(minutes=5)  # docs.coingecko.com, market_chart/range: "cache / update frequency: every 5 minutes"


async def fetch_today(
    client: Client,
    settings: Settings,
    coins: Sequence[Coin],
    day: date,
    now: datetime,
    have: Mapping[str, AbstractSet[datetime]],
) -> Fetched:
    """Fetch the rows of contract ``prices`` for the hours of a day that the table does not have yet.

    Args:
        client: makes the requests.
        settings: base address, key and plan.
        coins: the coins.
        day: the UTC day in progress.
        now: the newest hour mark is at or before this instant.
        have: by symbol, the hour marks that the table has.

    Returns:
        The rows. ``gone`` names hours that the provider was asked for and will not have; they need not be asked for
        again.

    Raises:
        SourceError: the answers cannot be had, or most of them cannot be trusted.
    """
    before = client.calls
    late = now - newest_mark(now) > ON_THE_MARK
    paged: list[Coin] = []
    ranged: list[Coin] = []
    for coin in coins:
        lacking = set(marks(day, now)) - have.get(coin.symbol, frozenset())
        if coin.coingecko is not None and lacking:
            (ranged if late or lacking != {newest_mark(now)} else paged).append(coin)
    missing = {coin.symbol: "no identifier in the catalogue" for coin in coins if coin.coingecko is None}
    parts: list[Fetched] = []
    if paged:
        try:
            parts.append(await _newest(client, settings, paged, now))
        except NotListedError:  # a server without this route
            ranged += paged
    if ranged:
        parts.append(await fetch_prices(client, settings, ranged, day, day, now))
    given = [part.frame for part in parts if len(part.frame)]
    frame = pd.concat(given, ignore_index=True) if given else pd.DataFrame(columns=PRICE_COLUMNS)
    asked = {coin.symbol for coin in ranged} - set(parts[-1].failed if ranged else ())
    return Fetched(
        frame,
        tuple(digest for part in parts for digest in part.digests),
        {**missing, **{name: why for part in parts for name, why in part.missing.items()}},
        client.calls - before,
        {name: why for part in parts for name, why in part.failed.items()},
        _gone(frame, asked, day, now),
        tuple(sorted(record for part in parts for record in part.set_aside)),
        dict(sum((Counter(part.surplus) for part in parts), Counter())),
    )


def marks(day: date, now: datetime) -> list[datetime]:
    """Return the hour marks of the day up to ``now``."""
    found = [midnight(day) + HOUR * n for n in range(24)]
    return [mark for mark in found if mark <= now]


def newest_mark(now: datetime) -> datetime:
    """Return the newest hour mark at or before ``now``."""
    return now.replace(minute=0, second=0, microsecond=0)


async def _newest(client: Client, settings: Settings, coins: Sequence[Coin], now: datetime) -> Fetched:
    """Read the newest hour of these coins from pages. A coin whose page is not on the mark has no row yet."""
    mark = newest_mark(now)
    with about(f"coingecko /coins/markets at {mark:%Y-%m-%d %H:%M}"):
        page = await fetch_markets(client, settings, coins)
    seen = page.frame["available_at"]
    rows = page.frame[(seen >= mark) & (seen <= mark + ON_THE_MARK)]
    frame = rows.assign(ts=pd.Timestamp(mark).as_unit("us"), date=mark.date())[PRICE_COLUMNS]
    waiting = {symbol: "not updated since the hour mark" for symbol in page.frame["symbol"]}
    missing = {**waiting, **page.missing}
    return Fetched(
        frame,
        page.digests,
        {symbol: why for symbol, why in missing.items() if symbol not in set(frame["symbol"])},
        page.calls,
        page.failed,
        set_aside=page.set_aside,
        surplus={
            **page.surplus,
            **({"page not updated since the mark": idle} if (idle := len(page.frame) - len(frame)) else {}),
        },
    )


def _gone(frame: pd.DataFrame, asked: AbstractSet[str], day: date, now: datetime) -> dict[str, list[datetime]]:
    """Find the hours that were asked for by range and that no cache can still hold back."""
    due = {mark for mark in marks(day, now) if mark + HOUR + CACHED <= now}  # later ones may still get a point

    by_coin: dict[str, set[Any]] = {symbol: set() for symbol in asked}
    for symbol, ts in zip(frame["symbol"], frame["ts"], strict=True):
        by_coin.setdefault(symbol, set()).add(ts)
    return {symbol: sorted(due - by_coin[symbol]) for symbol in sorted(asked) if due - by_coin[symbol]}
