"""Binance USD-M futures: funding to the listing, and hourly bars of contracts and of the index that they follow.

Format: https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api. Times are in
milliseconds, numbers are strings, answers are in order of time. Open interest is in ``binance_statistics.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Answer, Client, ResponseError
from crypto_assets.sources.contract_bars import Klines, bar_rows
from crypto_assets.sources.contracts import (
    INTERVALS,
    MILLISECOND,
    Series,
    Settlement,
    Settlements,
    coins_of,
    contract_of,
    funding_rate,
    funding_rows,
    on_the_hour,
)
from crypto_assets.sources.fetched import not_listed, rows_of, source_name
from crypto_assets.sources.reading import HOUR, OUTSIDE, SHAPE, Reading
from crypto_assets.tables.derivatives import FUNDING_SINCE

NAME = "binance_usdm"
VENUE = "binance"
INVALID_SYMBOL = -1121
FUNDING = "/fapi/v1/fundingRate"
FUNDING_LIMIT, BARS_LIMIT = 1000, 1500
QUOTE_VOLUME = 7  # its position in a row of klines
BEGINNING = midnight(FUNDING_SINCE)
AROUND = INTERVALS[0] * HOUR  # the settlements around the days tell the interval of the first and the last
HOLES = 3  # holes of one coin that are asked for once more: a page may have skipped rows
MUST = (
    "the provider would have to give times in milliseconds and rates as numbers: check BINANCE_FUTURES_BASE_URL and the "
    "contract in the catalogue, or try again later"
)


async def fetch_funding(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, reading: Reading
) -> Series:
    """Fetch the settlements of one coin in the days ``start``..``end``: one request per 1,000 settlements.

    Args:
        client: makes the requests.
        settings: the base address.
        coin: the coin.
        start: the first UTC day.
        end: the last UTC day, included.
        reading: counts what is not a row, and has the clock.

    Returns:
        Rows of :func:`~crypto_assets.sources.contracts.funding_rows`.

    Raises:
        NeverListedError: the catalogue has no contract for the coin.
        NotListedError: Binance does not know the contract (code -1121).
        SourceError: the answer cannot be had, repeats a page, or cannot be trusted for the most part.
    """
    contract = contract_of(coin, VENUE)
    found = Settlements(reading)
    first, last = midnight(start) - AROUND, midnight(end + DAY) + AROUND
    digests = await _pages(client, settings, coin, first, last, found)
    digests += await _fill_holes(client, settings, coin, found)
    what = f"binance fundingRate of {coin.symbol} {start} to {end}"
    why = f"binance fundingRate gives no settlement of {contract} from {start} to {end}"
    return Series(funding_rows(found.in_order(), what, reading), digests, why)


async def _pages(
    client: Client, settings: Settings, coin: Coin, first: datetime, last: datetime, found: Settlements
) -> list[str]:
    reading = found.reading
    subject = f"{coin.symbol} {reading.start} to {reading.end}"
    digests: list[str] = []
    cursor, until = first, min(last, reading.now)  # what lies in the future is asked for with it, and refused
    while cursor <= until:
        params = {"symbol": coin.binance_perpetual, **_window(cursor, last), "limit": FUNDING_LIMIT}
        answer = await _ask(client, settings, "binance_funding", FUNDING, params, subject)
        digests.append(answer.digest)
        count, newest = read_funding(answer.body, subject, found, source_name(NAME, answer), cursor, last)
        if count and newest is None:
            raise SourceError(
                f"binance fundingRate of {subject} repeats a page: none of its {count} row(s) is later than those of the "
                "page before; nothing of the coin was written; try again later"
            )
        # A short page ends the history only where no further settlement fits before the end of the window.
        if newest is None or (count < FUNDING_LIMIT and newest + AROUND > until):
            break
        cursor = newest + MILLISECOND
    return digests


async def _fill_holes(client: Client, settings: Settings, coin: Coin, found: Settlements) -> list[str]:
    """Ask once more for what a page may have skipped. What stays away was not settled, or was set aside before."""
    reading = found.reading
    again = Settlements(Reading(coin.symbol, reading.start, reading.end, reading.now))  # so that nothing counts twice
    digests: list[str] = []
    for begin, stop in _holes(found)[:HOLES]:
        with suppress(SourceError):
            digests += await _pages(client, settings, coin, begin, stop, again)
    for one in again.in_order():
        found.add(one)
    return digests


def _holes(found: Settlements) -> list[tuple[datetime, datetime]]:
    hours = [one.ts for one in found.in_order()]
    return [
        (before + HOUR / 2, after - HOUR / 2)
        for before, after in pairwise(hours)
        if after - before > INTERVALS[0] * HOUR
    ]


def read_funding(
    body: object, subject: str, found: Settlements, source: str, first: datetime, last: datetime
) -> tuple[int, datetime | None]:
    """Read one page of settlements.

    Args:
        body: the parsed JSON of the page.
        subject: the coin and window, for messages.
        found: receives the settlements.
        source: the value of the ``source`` column.
        first: the first stamp of the page, included.
        last: the last stamp of the page, included.

    Returns:
        The number of rows of the page, and the newest stamp between ``first`` and ``last``; None if there is none.

    Raises:
        SourceError: the answer has another shape, or most rows cannot be trusted.
    """
    what = f"binance fundingRate of {subject}"
    rows, reading = rows_of(body, what), found.reading
    newest: datetime | None = None
    for row in rows:
        if not isinstance(row, dict):
            reading.aside(SHAPE, row)
            continue
        at = reading.instant(row.get("fundingTime"), MILLISECOND, row)
        if at is None:
            continue
        if not first <= at <= last:
            reading.spare(OUTSIDE)
            continue
        newest = max(newest or at, at)
        one = _settlement(row, at, source, reading)
        if one is not None:
            found.add(one)
    reading.judge(what, len(rows), MUST)
    return len(rows), newest


def _settlement(row: Mapping[str, Any], at: datetime, source: str, reading: Reading) -> Settlement | None:
    ts = on_the_hour(at, reading, row)
    rate = funding_rate(row.get("fundingRate"), at, reading, row) if ts is not None else None
    if ts is None or rate is None:
        return None
    mark = reading.cell(row.get("markPrice"), "mark_price", at)
    return Settlement(ts, at, rate, mark / coins_of(str(row.get("symbol", ""))) if mark else None, source)


async def fetch_bars(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, reading: Reading
) -> Series:
    """Fetch the finished hourly bars of one contract and its index in the days ``start``..``end``.

    Args:
        client: makes two requests per 1,500 hours.
        settings: the base address.
        coin: the coin.
        start: the first UTC day.
        end: the last UTC day, included.
        reading: counts what is not a row, and has the clock.

    Returns:
        (ts, source, close, index_close, volume, volume_usd) of each bar, prices and volumes of one coin.

    Raises:
        NeverListedError: the catalogue has no contract for the coin.
        NotListedError: Binance does not know the contract.
        SourceError: the answer cannot be had, or most of it cannot be trusted.
    """
    contract = contract_of(coin, VENUE)
    digests: list[str] = []
    bars, index = Klines(reading, QUOTE_VOLUME), Klines(reading, None)
    for route, klines in ((("/fapi/v1/klines", "symbol"), bars), (("/fapi/v1/indexPriceKlines", "pair"), index)):
        digests += await _klines(client, settings, coin, route, start, end, klines)
    rows = bar_rows(bars.found, index.found, coins_of(contract))
    return Series(rows, digests, f"binance klines give no bar of {contract} from {start} to {end}")


async def _klines(
    client: Client, settings: Settings, coin: Coin, route: tuple[str, str], start: date, end: date, klines: Klines
) -> list[str]:
    path, name = route
    digests: list[str] = []
    cursor, stop = midnight(start), min(midnight(end + DAY) - MILLISECOND, klines.reading.now)
    while cursor <= stop:
        last = min(stop, cursor + BARS_LIMIT * HOUR - MILLISECOND)
        subject = f"{coin.symbol} {start} to {end}"
        params = {name: coin.binance_perpetual, "interval": "1h", **_window(cursor, last), "limit": BARS_LIMIT}
        answer = await _ask(client, settings, "binance_perpetual", path, params, subject)
        digests.append(answer.digest)
        what = f"binance {path.rpartition('/')[2]} of {subject}"
        klines.read(rows_of(answer.body, what), source_name(NAME, answer), what, MUST)
        cursor = last + MILLISECOND
    return digests


def _window(first: datetime, last: datetime) -> dict[str, int]:
    return {"startTime": int(first.timestamp() * 1000), "endTime": int(last.timestamp() * 1000)}


async def _ask(
    client: Client, settings: Settings, limit: str, path: str, params: Mapping[str, Any], subject: str
) -> Answer:
    """Ask the futures host. ``limit`` is the name of the limit under which the route counts."""
    url = f"{settings.binance_futures_base_url}{path}"
    try:
        return await client.get_json(limit, url, params=params, subject=subject, endpoint=path)
    except ResponseError as error:
        if isinstance(error.body, dict) and error.body.get("code") == INVALID_SYMBOL:
            contract = params.get("symbol") or params.get("pair")
            why = f"binance does not list the contract {contract} (any more)"
            raise not_listed(why, error.sandbox, error.status) from error
        raise


async def listed_since(client: Client, settings: Settings, coin: Coin, now: datetime) -> datetime | None:
    """Find the first settlement of a coin's contract, which is the first one after its listing.

    Args:
        client: makes one request.
        settings: the base address.
        coin: a coin with a contract.
        now: the clock.

    Returns:
        Its hour; None where Binance has none.

    Raises:
        SourceError: the answer cannot be had.
    """
    params = {"symbol": coin.binance_perpetual, **_window(BEGINNING, now), "limit": 1}
    subject = f"{coin.symbol} {BEGINNING:%Y-%m-%d} to {now:%Y-%m-%d}"
    answer = await _ask(client, settings, "binance_funding", FUNDING, params, subject)
    found = Settlements(Reading(coin.symbol, BEGINNING.date(), now.date(), now))
    read_funding(answer.body, subject, found, NAME, BEGINNING, now)
    return next((one.ts for one in found.in_order()), None)
