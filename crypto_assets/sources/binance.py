"""Binance spot klines: hourly bars with volume, years of history, no key needed.

Format: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints. Times are in
milliseconds, numbers are strings, an answer has at most 1,000 rows, and the last row may be unfinished. The quote
currency is USDT, and the ``source`` column says so.

Binance still knows a delisted pair and answers ``[]`` with HTTP 200 for it. Such an answer can mean that there was no
trade or that the pair has ended. One more request looks at the time around the gap to decide this (``_after``).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, midnight
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Answer, Client, ResponseError
from crypto_assets.sources.fetched import NeverListedError, UnsureError, not_listed, rows_of, source_name
from crypto_assets.sources.reading import HOUR, OFF_HOUR, SHAPE, Bars, BarTable, Reading

NAME = "binance_usdt"
LIMIT = 1000
INVALID_SYMBOL = -1121
# A pair without a bar for this long counts as delisted. Halts of single pairs took up to 103 hours, and the longest
# outage of all pairs took 33 hours (recorded hours of 2018 to 2023).
QUIET = timedelta(days=7)
MUST = (
    "the provider would have to give hourly bars with times in milliseconds and prices above zero: check "
    "BINANCE_BASE_URL and the pair in the catalogue, or try again later"
)
_MS, _UTC = timedelta(milliseconds=1), timezone.utc
_LONGEST_MS = 3_600_000 + 5_000  # the length of an hourly bar; after outages some bars close a second late


async def fetch_ohlc(
    client: Client,
    settings: Settings,
    coin: Coin,
    start: date,
    end: date,
    now: datetime,
    reading: Reading | None = None,
) -> Bars:
    """Fetch the finished hourly bars of one coin that open in the days ``start``..``end``.

    Args:
        client: makes the requests: one per 1,000 hours, and two more where the last hours of the range have no bar.
        settings: the base address.
        coin: the coin whose USDT pair is asked for.
        start: the first UTC day.
        end: the last UTC day, included.
        now: bars that close later are unfinished and left out.
        reading: counts what is not a row; by default a new one that is thrown away.

    Returns:
        The bars in order of time.

    Raises:
        NotListedError: Binance does not know the pair (code -1121).
        UnsureError: days that are over have no bar, and the pair has had no bar for less than ``QUIET``.
        NeverListedError: the catalogue has no pair for the coin.
        SourceError: the answer cannot be had, or most of it cannot be trusted.
    """
    if coin.binance is None:
        raise NeverListedError(f"binance does not list {coin.symbol}")
    table, digests = BarTable(reading or Reading(coin.symbol, start, end, now)), []
    cursor, stop = midnight(start), midnight(end + DAY) - _MS
    while cursor <= stop and cursor <= now:
        subject = f"{coin.symbol} {cursor:%Y-%m-%d %H:%M} to {end}"
        answer = await _ask(client, settings, coin, cursor, stop, subject)
        digests.append(answer.digest)
        newest = read_klines(answer.body, subject, table, source_name(NAME, answer), cursor, stop)
        if newest is None:  # an empty page ends the history; a short one does not
            if min(stop, now) - cursor < HOUR:
                break
            ended, later, why, digest = await _after(client, settings, coin, cursor, stop, now)
            if not (table.rows or ended or later) and stop <= now:
                raise UnsureError(f"{why}; nothing of {coin.symbol} was written; run again later")
            return Bars(table.in_order(), [*digests, digest], ended, why)
        cursor = newest.replace(minute=0, second=0, microsecond=0) + HOUR
    return Bars(table.in_order(), digests)


async def _ask(client: Client, settings: Settings, coin: Coin, first: datetime, last: datetime, subject: str) -> Answer:
    params = {
        "symbol": coin.binance,
        "interval": "1h",
        "startTime": int(first.timestamp() * 1000),
        "endTime": int(last.timestamp() * 1000),
        "limit": LIMIT,
    }
    try:
        return await client.get_json(
            "binance", f"{settings.binance_base_url}/klines", params=params, subject=subject, endpoint="/klines"
        )
    except ResponseError as error:
        if isinstance(error.body, dict) and error.body.get("code") == INVALID_SYMBOL:
            why = f"binance does not list {coin.binance} (any more)"
            raise not_listed(why, error.sandbox, error.status) from error
        raise


async def _after(
    client: Client, settings: Settings, coin: Coin, hole: datetime, stop: datetime, now: datetime
) -> tuple[datetime | None, datetime | None, str, str]:
    """Look at the time around a gap: (when the pair ended, its next bar, why there is no bar, digest).

    The range has no bar from ``hole`` on. A bar after the range means that the pair was listed later or paused, so the
    hours have no bar. No bar in the whole of ``QUIET`` means that the pair has ended. If the only bar is before the gap
    and recent, the answer is open.
    """
    subject = f"{coin.symbol} {hole:%Y-%m-%d %H:%M} to now"
    answer = await _ask(client, settings, coin, hole - QUIET, now, subject)
    probe = BarTable(Reading(coin.symbol, (hole - QUIET).date(), now.date(), now))
    read_klines(answer.body, subject, probe, NAME, hole - QUIET, now)
    opens = sorted(probe.rows)
    later = next((ts for ts in opens if ts > stop), None)
    if later is not None:
        return None, later, f"binance klines have no bar of {coin.binance} before {later:%Y-%m-%d %H:%M}", answer.digest
    last = opens[-1] if opens else hole - QUIET
    if now - last < QUIET:
        return (
            None,
            None,
            f"binance klines have no bar of {coin.binance} since {last:%Y-%m-%d %H:%M}; it may be paused",
            answer.digest,
        )
    return (
        hole,
        None,
        f"binance klines answer without bars of {coin.binance} since {hole:%Y-%m-%d %H:%M}",
        answer.digest,
    )


def read_klines(
    body: object, subject: str, table: BarTable, source: str, first: datetime, last: datetime
) -> datetime | None:
    """Put the bars of one page into the table.

    Args:
        body: the parsed JSON of the page.
        subject: the coin and window, for error messages.
        table: receives the bars.
        source: the value of the ``source`` column.
        first: the first open time of the page, included.
        last: the last open time of the page, included.

    Returns:
        The newest open time between ``first`` and ``last``; None if there is none.

    Raises:
        SourceError: the answer has another shape, or most rows cannot be trusted.
    """
    what = f"binance klines of {subject}"
    rows, reading = rows_of(body, what), table.reading
    newest: datetime | None = None
    for row in rows:
        if not isinstance(row, list) or len(row) < 7:
            reading.aside(SHAPE, row)
            continue
        ts = reading.instant(row[0], _MS, row)
        if ts is None:
            continue
        if first <= ts <= last:
            newest = max(newest or ts, ts)
        bar = _bar(row, ts, reading)
        if bar is not None:
            table.add((*bar, source), 5)
    reading.judge(what, len(rows), MUST)
    return newest


def _bar(row: list[Any], ts: datetime, reading: Reading) -> tuple[Any, ...] | None:
    closed = row[6] if isinstance(row[6], int) and not isinstance(row[6], bool) else None
    length = closed + 1 - int(ts.timestamp() * 1000) if closed is not None else None
    if ts.minute or ts.second or ts.microsecond:
        # After the outage of 2018-02-08 bars open at 28:14.789 past the hour. This known fault lasted whole days and
        # gives no reason to doubt the bars around them.
        reading.aside(OFF_HOUR, row, ts, doubt=length is None or abs(length - 3_600_000) > 60_000)
        return None
    if length is not None and length > _LONGEST_MS:
        reading.aside("bar is longer than an hour", row, ts)
        return None
    prices = reading.prices(row[1:5], ts, row)
    return None if prices is None else (ts, *prices, reading.cell(row[5], "volume", ts))
