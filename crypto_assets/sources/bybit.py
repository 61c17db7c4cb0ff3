"""Bybit v5: funding, open interest and hourly bars of linear perpetual contracts, deep and without a key.

Format: https://bybit-exchange.github.io/docs/v5/market/history-fund-rate, /docs/v5/market/open-interest,
/docs/v5/market/kline and /docs/v5/market/index-kline. Errors come as HTTP 200 with a ``retCode`` other than 0. Numbers and
times (milliseconds) are strings. A page has 200 rows (1,000 of bars), the newest first, and the next one ends before the
oldest row of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Answer, Client
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
from crypto_assets.sources.reading import HOUR, OUTSIDE, SECOND_COPY, SHAPE, Reading

NAME = "bybit_linear"
VENUE = "bybit"
LIMIT, BARS_LIMIT = 200, 1000
TURNOVER = 6  # the position of the volume in the quote currency in a row of klines
INVALID, TOO_MANY = 10001, 10006  # parameter error (an unknown symbol, for one), too many visits
MUST = (
    "the provider would have to give times in milliseconds and values as numbers: check BYBIT_BASE_URL and the contract "
    "in the catalogue, or try again later"
)
ReadRow = Callable[[Mapping[str, Any], datetime, str], None]


@dataclass(frozen=True)
class _Route:
    """A route of pages: the name of a row's time, the longest distance of two rows, and the hours around the days."""

    path: str
    stamp: str
    step: timedelta
    around: timedelta = timedelta()


# The settlements around the days tell the interval of the first and the last.
FUNDING = _Route("/v5/market/funding/history", "fundingRateTimestamp", INTERVALS[0] * HOUR, INTERVALS[0] * HOUR)
INTEREST = _Route("/v5/market/open-interest", "timestamp", HOUR)


async def fetch_funding(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, reading: Reading
) -> Series:
    """Fetch the settlements of one coin in the days ``start``..``end``: one request per 200 settlements.

    Args:
        client: makes the requests.
        settings: the base address.
        coin: the coin.
        start: the first UTC day.
        end: the last UTC day, included.
        reading: counts what is not a row, and has the clock.

    Returns:
        Rows of :func:`~crypto_assets.sources.contracts.funding_rows`. Bybit gives no mark price with them.

    Raises:
        NeverListedError: the catalogue has no contract for the coin.
        NotListedError: Bybit does not know the contract.
        SourceError: the answer cannot be had, repeats a page, or cannot be trusted for the most part.
    """
    contract = contract_of(coin, VENUE)
    found = Settlements(reading)

    def read(row: Mapping[str, Any], at: datetime, source: str) -> None:
        ts = on_the_hour(at, reading, row)
        rate = funding_rate(row.get("fundingRate"), at, reading, row) if ts is not None else None
        if ts is not None and rate is not None:
            found.add(Settlement(ts, at, rate, None, source))

    params = {"symbol": contract}
    digests = await _pages(client, settings, FUNDING, params, reading, read)
    what = f"bybit funding/history of {coin.symbol} {start} to {end}"
    why = f"bybit funding/history gives no settlement of {contract} from {start} to {end}"
    return Series(funding_rows(found.in_order(), what, reading), digests, why)


async def fetch_open_interest(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, reading: Reading
) -> Series:
    """Fetch the hourly open interest of one coin in the days ``start``..``end``: one request per 200 hours.

    Args:
        client: makes the requests.
        settings: the base address.
        coin: the coin.
        start: the first UTC day.
        end: the last UTC day, included.
        reading: counts what is not a row, and has the clock.

    Returns:
        (ts, source, open_interest, None, None, None) of each hour, in coins. Bybit gives neither the value nor ratios
        here. Its number "is the sum of both sides", as its documentation has it, and is kept as given.

    Raises:
        NeverListedError: the catalogue has no contract for the coin.
        NotListedError: Bybit does not know the contract.
        SourceError: the answer cannot be had, repeats a page, or cannot be trusted for the most part.
    """
    contract = contract_of(coin, VENUE)
    coins = coins_of(contract)
    found: dict[datetime, tuple[Any, ...]] = {}

    def read(row: Mapping[str, Any], at: datetime, source: str) -> None:
        ts = on_the_hour(at, reading, row)
        value = reading.cell(row.get("openInterest"), "open_interest", at) if ts is not None else None
        if ts is None or value is None or not reading.inside(ts):
            return
        made = (ts, source, value * coins, None, None, None)
        if found.setdefault(ts, made) != made:
            reading.aside(SECOND_COPY, row, at, doubt=False)

    params = {"symbol": contract, "intervalTime": "1h"}
    digests = await _pages(client, settings, INTEREST, params, reading, read)
    why = f"bybit open-interest gives none of {contract} from {start} to {end}"
    return Series([found[ts] for ts in sorted(found)], digests, why)


async def fetch_bars(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, reading: Reading
) -> Series:
    """Fetch the finished hourly bars of one contract and its index in the days ``start``..``end``.

    Args:
        client: makes two requests per 1,000 hours.
        settings: the base address.
        coin: the coin.
        start: the first UTC day.
        end: the last UTC day, included.
        reading: counts what is not a row, and has the clock.

    Returns:
        (ts, source, close, index_close, volume, volume_usd) of each bar, prices and volumes of one coin.

    Raises:
        NeverListedError: the catalogue has no contract for the coin.
        NotListedError: Bybit does not know the contract.
        SourceError: the answer cannot be had, or cannot be trusted for the most part.
    """
    contract = contract_of(coin, VENUE)
    bars, index = Klines(reading, TURNOVER), Klines(reading, None)
    digests: list[str] = []
    for path, klines in (("/v5/market/kline", bars), ("/v5/market/index-price-kline", index)):
        digests += await _klines(client, settings, contract, path, klines)
    rows = bar_rows(bars.found, index.found, coins_of(contract))
    return Series(rows, digests, f"bybit kline gives no bar of {contract} from {start} to {end}")


async def _klines(client: Client, settings: Settings, contract: str, path: str, klines: Klines) -> list[str]:
    """Read the bars of the reading's days; a window of 1,000 hours is one page."""
    reading = klines.reading
    subject = f"{reading.subject} {reading.start} to {reading.end}"
    what = f"bybit {path.removeprefix('/v5/market/')} of {subject}"
    digests: list[str] = []
    cursor, stop = midnight(reading.start), min(midnight(reading.end + DAY) - MILLISECOND, reading.now)
    while cursor <= stop:
        last = min(stop, cursor + BARS_LIMIT * HOUR - MILLISECOND)
        window = {"start": int(cursor.timestamp() * 1000), "end": int(last.timestamp() * 1000), "limit": BARS_LIMIT}
        params = {"category": "linear", "symbol": contract, "interval": "60", **window}
        answer = await _ask(client, settings, path, params, subject)
        digests.append(answer.digest)
        klines.read(rows_of(_result(answer, what), what), source_name(NAME, answer), what, MUST)
        cursor = last + MILLISECOND
    return digests


async def _pages(
    client: Client, settings: Settings, route: _Route, params: Mapping[str, Any], reading: Reading, read: ReadRow
) -> list[str]:
    """Read all pages of the reading's days, and of the hours around them that the route needs, the newest first."""
    path, stamp, step = route.path, route.stamp, route.step
    first = midnight(reading.start) - route.around
    end = midnight(reading.end + DAY) + route.around
    # Settlements in the future are asked for too, and refused: such a clock is another one.
    last = end if route.around else min(end - MILLISECOND, reading.now)
    subject = f"{reading.subject} {reading.start} to {reading.end}"
    what = f"bybit {path.removeprefix('/v5/market/')} of {subject}"
    digests: list[str] = []
    while last >= first:
        asked = {"startTime": int(first.timestamp() * 1000), "endTime": int(last.timestamp() * 1000), "limit": LIMIT}
        answer = await _ask(client, settings, path, {"category": "linear", **params, **asked}, subject)
        digests.append(answer.digest)
        rows = rows_of(_result(answer, what), what)
        oldest = _read_page(rows, (stamp, source_name(NAME, answer)), first, last, reading, read)
        reading.judge(what, len(rows), MUST)
        if rows and oldest is None:
            raise SourceError(
                f"{what} repeats a page: none of its {len(rows)} row(s) is earlier than those of the page before; nothing "
                "of the coin was written; try again later"
            )
        if oldest is None or (len(rows) < LIMIT and oldest - step < first):
            break
        last = oldest - MILLISECOND
    return digests


def _read_page(
    rows: list[Any], named: tuple[str, str], first: datetime, last: datetime, reading: Reading, read: ReadRow
) -> datetime | None:
    """Read the rows of the window; returns the oldest stamp of it, None if there is none.

    ``named``: the name of a row's time, and the value of the ``source`` column.
    """
    stamp, source = named
    oldest: datetime | None = None
    for row in rows:
        if not isinstance(row, dict):
            reading.aside(SHAPE, row)
            continue
        at = reading.instant(row.get(stamp), MILLISECOND, row)
        if at is None:
            continue
        if not first <= at <= last:
            reading.spare(OUTSIDE)
            continue
        oldest = min(oldest or at, at)
        read(row, at, source)
    return oldest


async def _ask(client: Client, settings: Settings, path: str, params: Mapping[str, Any], subject: str) -> Answer:
    url = f"{settings.bybit_base_url}{path}"
    return await client.get_json("bybit", url, params=params, subject=subject, endpoint=path)


def _result(answer: Answer, what: str) -> object:
    """The list of an answer. Raises NotListedError for an unknown contract, SourceError for any other ``retCode``."""
    body = answer.body
    if not isinstance(body, dict):
        raise SourceError(
            f"{what} answered {type(body).__name__} instead of an object; nothing was written; try again later"
        )
    code, text = body.get("retCode"), str(body.get("retMsg"))[:80]
    if code == INVALID and "symbol" in text.lower():
        raise not_listed(f"bybit does not list the contract (any more): {text}", answer.sandbox)
    if code != 0:
        healing = code == TOO_MANY
        raise SourceError(
            f"{what} answered retCode {code} ({text}); nothing was written; "
            f"{'run again later' if healing else 'check BYBIT_BASE_URL and the contract in the catalogue'}",
            transient=healing,
        )
    result = body.get("result")
    return result.get("list") if isinstance(result, dict) else None
