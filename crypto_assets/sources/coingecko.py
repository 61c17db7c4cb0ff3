"""CoinGecko: hourly prices (market_chart/range), current markets, hourly candles (ohlc/range).

Format: https://docs.coingecko.com/reference/coins-id-market-chart-range. ``from`` and ``to`` are UNIX seconds; answers
are in milliseconds. ``interval=hourly`` takes at most 100 days a request. Points come some seconds after the hour, in
some months many minutes after it. The row of an hour is therefore its first point at or after the hour mark, and it is
available from the point's own instant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timezone
from functools import partial
from typing import Any

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.catalog.listings import dated, listed_in
from crypto_assets.dates import DAY, chunks, midnight
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Answer, Client, ResponseError
from crypto_assets.sources.coingecko_points import MS, MUST, known, moment, points_of, price_frame
from crypto_assets.sources.fetched import (
    Fetched,
    NeverListedError,
    each,
    named,
    not_listed,
    number,
    positive,
    refuse_many,
    require_days,
    rows_of,
    source_name,
    utc,
)
from crypto_assets.sources.reading import (
    HOUR,
    SHAPE,
    Bars,
    BarTable,
    Reading,
    gathered,
    refuse_coarse,
)

NAME = "coingecko"
CHART_DAYS = 100  # days per request on paid plans, with interval=hourly
FREE_CHART_DAYS = 90  # free plans have no interval: 5-minutely for 1 day, hourly up to 90 days, daily above
OHLC_DAYS = 31  # days per request of hourly candles
PAGE = 250  # coins per page of /coins/markets
FREE_PLANS = ("public", "demo")
_ONE_COIN = re.compile(r"^/coins/(?!markets|list)[^/]+")


def headers(settings: Settings) -> dict[str, str]:
    """Build the header that carries the key.

    Args:
        settings: key and plan.

    Returns:
        The header that the plan wants; empty without a key.
    """
    if settings.coingecko_api_key is None:
        return {}
    name = "x-cg-demo-api-key" if settings.coingecko_plan in FREE_PLANS else "x-cg-pro-api-key"
    return {name: settings.coingecko_api_key.get_secret_value()}


async def get(client: Client, settings: Settings, path: str, params: Mapping[str, Any], subject: str) -> Answer:
    """Send one request, and explain the errors of keys and plans.

    Args:
        client: makes the request.
        settings: base address, key and plan.
        path: the route's path.
        params: the query.
        subject: the coin and window, for error messages.

    Returns:
        The answer.

    Raises:
        NotListedError: the provider does not know the coin.
        SourceError: the key or plan is wrong (the message says what to change), or the answer cannot be had.
    """
    url = f"{settings.coingecko_base_url}{path}"
    try:
        return await client.get_json(
            NAME,
            url,
            params=params,
            headers=headers(settings),
            subject=subject,
            endpoint=_ONE_COIN.sub("/coins/{id}", path),
        )
    except ResponseError as error:
        code = _code(error.body)
        if error.status == 404:
            why = f"coingecko {path} does not know {subject}; correct the catalogue"
            raise not_listed(why, error.sandbox, 404) from error
        advice = {
            10002: "the key is missing; set COINGECKO_API_KEY",
            10005: "the plan does not include this route; set COINGECKO_PLAN to yours or leave the route out",
            10010: "a pro key went to the public host; set COINGECKO_PLAN to the key's plan",
            10011: "a demo key went to the pro host; set COINGECKO_PLAN=demo",
            10012: "the range is older than the plan's history; choose a later --start or a larger plan",
        }.get(code or 0)
        if advice is None:
            raise
        raise SourceError(
            f"coingecko {path} for {subject} was refused with code {code}: {advice}; nothing was written",
            status=error.status,
        ) from error


def _code(body: object) -> int | None:
    """Find the error code in any of the provider's error shapes."""
    seen: list[object] = [body]
    while seen:
        found = seen.pop()
        if isinstance(found, dict):
            if isinstance(found.get("error_code"), int):
                return int(found["error_code"])
            seen += [found.get("status"), found.get("error")]
    return None


async def fetch_prices(
    client: Client, settings: Settings, coins: Sequence[Coin], start: date, end: date, now: datetime
) -> Fetched:
    """Fetch the hourly prices of these coins for the days ``start``..``end`` (contract ``prices``).

    Args:
        client: makes the requests: one per coin and 100 days, and one more for a coin without any point in the range.
        settings: base address, key and plan.
        coins: the coins.
        start: the first UTC day.
        end: the last UTC day, included.
        now: points after it are left to the next run.

    Returns:
        The rows. ``missing`` names coins without an identifier, and coins that the provider lists since a later day.
        ``failed`` names coins whose identifier it does not know (any more), or for which it answers without points, in the
        whole range or in the last of its requests (then the rows before are there).

    Raises:
        SourceError: too many coins failed (see ``each``), or a day that is over has no row of any coin.
    """
    before = client.calls
    missing = {coin.symbol: "no identifier in the catalogue" for coin in coins if coin.coingecko is None}
    asked = [coin for coin in coins if coin.coingecko is not None]
    readings = {coin.symbol: Reading(coin.symbol, start, end, now) for coin in asked}

    ended: dict[str, str] = {}

    async def one(coin: Coin) -> tuple[list[pd.DataFrame], list[str]]:
        found, hashes, empty = await _prices_by_name(client, settings, coin, start, end, now, readings[coin.symbol])
        if not found:
            missing[coin.symbol] = await _why_empty(client, settings, coin, start, end, now)
        elif empty is not None and now - midnight(empty) >= 2 * HOUR:
            ended[coin.symbol] = (
                f"coingecko market_chart/range answered without any point of {coin.symbol} from {empty} to {end}; its rows "
                f"before are stored; the identifier {coin.coingecko!r} may be retired: correct the catalogue"
            )
        return found, hashes

    answers, failed = await each({coin.symbol: partial(one, coin) for coin in asked}, missing)
    failed = dict(sorted((failed | ended).items()))
    frames, digests = [], []
    for found, hashes in answers.values():
        frames += found
        digests += hashes
    frame = pd.concat(frames, ignore_index=True) if frames else price_frame([])
    set_aside, surplus = gathered(readings.values())
    what = f"coingecko market_chart/range of {named(coins)}"
    require_days(frame["date"], start, end, now, what, missing={**failed, **missing}, set_aside=set_aside)
    return Fetched(frame, tuple(digests), missing, client.calls - before, failed, set_aside=set_aside, surplus=surplus)


async def _prices_by_name(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime, reading: Reading
) -> tuple[list[pd.DataFrame], list[str], date | None]:
    """Ask for each identifier that the coin had in the range; the result is that of :func:`_prices_of`, in today's unit."""
    found: list[pd.DataFrame] = []
    digests, empty = [], None
    first, last = midnight(start), midnight(end + DAY)
    for listing in listed_in(coin, NAME, first, last):
        begin, stop = max(first, listing.since), min(last, listing.until)
        named_then = replace(coin, coingecko=listing.ticker)
        frames, hashes, empty = await _prices_of(
            client, settings, named_then, begin.date(), (stop - HOUR).date(), now, reading
        )
        digests += hashes
        if not dated(coin, NAME):  # nearly every coin: the frames stay as they are
            found += frames
            continue
        for frame in frames:
            inside = frame[(frame["ts"] >= begin) & (frame["ts"] < stop)]
            found.append(inside.assign(price_usd=inside["price_usd"] / listing.factor))
    return found, digests, empty


async def _why_empty(client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime) -> str:
    """Say why a coin has no point in a range: it was listed later, or the range has hardly begun.

    Raises:
        NotListedError: neither is true, so the empty answer does not mean that there is nothing.
    """
    if now - midnight(start) < 2 * HOUR:
        return "no point since the range began"
    path, first, sandbox = f"/coins/{coin.coingecko}/market_chart/range", midnight(end + DAY), None
    if first < now:
        params = {"vs_currency": "usd", "from": int(first.timestamp()), "to": int(now.timestamp())}
        subject = f"{coin.symbol} {end + DAY} to now"
        answer = await get(client, settings, path, params, subject)
        sandbox = answer.sandbox
        probe = Reading(coin.symbol, end + DAY, now.date(), now)
        later = points_of(answer.body, f"coingecko market_chart of {subject}", probe)
        if later:
            return f"coingecko lists it since {moment(later[0][0]).date()}: no rows in the range"
    raise not_listed(
        f"coingecko market_chart/range answered without any point of {coin.symbol} from {start} to {end}, nor later: the "
        f"identifier {coin.coingecko!r} may be retired; correct the catalogue",
        sandbox,
    )


async def _prices_of(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime, reading: Reading
) -> tuple[list[pd.DataFrame], list[str], date | None]:
    """Build one frame per window that has rows.

    Millions of tuples would make the garbage collector stop the event loop, so that calls come too late for their
    turns. With the frames come the answers' digests, and the day from which on every window is empty.
    """
    found: list[pd.DataFrame] = []
    digests, empty = [], None
    free = settings.coingecko_plan in FREE_PLANS
    for first, last in chunks(start, end, FREE_CHART_DAYS if free else CHART_DAYS):
        params = {
            "vs_currency": "usd",
            "from": int(midnight(first).timestamp()),
            "to": int(midnight(last + DAY).timestamp()) - 1,
            **({} if free else {"interval": "hourly"}),
        }
        subject = f"{coin.symbol} {first} to {last}"
        answer = await get(client, settings, f"/coins/{coin.coingecko}/market_chart/range", params, subject)
        digests.append(answer.digest)
        window = (midnight(first), midnight(last + DAY))
        points = points_of(answer.body, f"coingecko market_chart of {subject}", reading, window)
        empty = None if points else empty or first
        if points:
            found.append(price_frame(points, coin.symbol, source_name(NAME, answer)))
    return found, digests, empty


async def fetch_markets(client: Client, settings: Settings, coins: Sequence[Coin]) -> Fetched:
    """Fetch the current market of these coins, 250 coins per request.

    A coin with a broken price or instant fails alone while few coins do (see ``refuse_many``). Any other broken cell is
    null and set aside.

    Args:
        client: makes the requests.
        settings: base address, key and plan.
        coins: the coins.

    Returns:
        A frame with symbol, price_usd, market_cap_usd, volume_24h_usd, rank, available_at and source.

    Raises:
        SourceError: the page cannot be had, or most of it cannot be trusted.
    """
    before, today = client.calls, datetime.now(timezone.utc)
    by_id = {coin.coingecko: coin for coin in coins if coin.coingecko}
    ids, digests = list(by_id), []
    rows: dict[str, tuple[Any, ...]] = {}
    failed: dict[str, SourceError] = {}
    readings: list[Reading] = []
    for page in (ids[n : n + PAGE] for n in range(0, len(ids), PAGE)):
        params = {"vs_currency": "usd", "ids": ",".join(page), "per_page": PAGE, "page": 1}
        subject = f"{by_id[page[0]].symbol}{f' and {len(page) - 1} more' if len(page) > 1 else ''}"
        answer = await get(client, settings, "/coins/markets", params, subject)
        digests.append(answer.digest)
        source, about_page = source_name(NAME, answer), Reading("/coins/markets", today.date(), today.date(), today)
        readings.append(about_page)
        for symbol, item in _entries(answer.body, {name: by_id[name].symbol for name in page}, subject, about_page):
            readings.append(Reading(symbol, today.date(), today.date(), today))
            try:
                row = parse_market(item, symbol, readings[-1])
            except SourceError as error:
                failed[symbol] = error
                refuse_many(failed, len(ids), error)
                continue
            if row is None:
                continue
            known = rows.setdefault(symbol, (symbol, *row, source))
            if known[1:-1] != row:  # the coin is listed twice: the entry that was updated later counts
                readings[-1].aside("a second, different entry of the coin", min(known[5], row[4]).isoformat())
                rows[symbol] = max(known, (symbol, *row, source), key=lambda one: (one[5], one[1]))
    columns = ["symbol", "price_usd", "market_cap_usd", "volume_24h_usd", "rank", "available_at", "source"]
    frame = utc(
        pd.DataFrame([row for name, row in rows.items() if name not in failed], columns=columns), "available_at"
    )
    absent = {c.symbol: "no price" for c in by_id.values() if c.symbol not in rows and c.symbol not in failed}
    set_aside, surplus = gathered(readings)
    said = {name: str(failed[name]) for name in sorted(failed)}
    return Fetched(frame, tuple(digests), absent, client.calls - before, said, set_aside=set_aside, surplus=surplus)


def _entries(body: object, symbols: Mapping[str, str], subject: str, reading: Reading) -> list[tuple[str, Any]]:
    """Return (symbol, entry) of a page. Raises :class:`SourceError` for an empty page, or mostly unknown entries."""
    what = f"coingecko /coins/markets of {subject}"
    rows = rows_of(body, what)
    if not rows:
        raise SourceError(f"{what} answered an empty list; nothing was written; try again later")
    found = []
    for item in rows:
        if isinstance(item, dict) and str(item.get("id")) in symbols:
            found.append((symbols[str(item["id"])], item))
        else:
            reading.aside("an entry that was not asked for", item.get("id") if isinstance(item, dict) else item)
    reading.judge(what, len(rows), MUST)
    return found


def parse_market(
    item: Mapping[str, Any], symbol: str, reading: Reading | None = None
) -> tuple[float, float | None, float | None, float | None, datetime] | None:
    """Read one entry of ``/coins/markets``.

    Args:
        item: the entry.
        symbol: the coin's symbol.
        reading: notes broken cells; by default a new one that is thrown away.

    Returns:
        (price in USD, market cap in USD, 24 h volume in USD, rank, instant); None where the entry has no price.

    Raises:
        SourceError: the price is not a number above zero, or ``last_updated`` is not an instant.
    """
    what = f"coingecko /coins/markets of {symbol}"
    price = number(item.get("current_price"), f"{what} price")
    if price is None:
        return None
    stamp = item.get("last_updated")
    try:
        at = datetime.fromisoformat(str(stamp).replace("Z", "+00:00"))
        if at.tzinfo is None or not isinstance(stamp, str):
            raise ValueError("no UTC instant")
        at = at.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise SourceError(
            f"{what} has last_updated {str(stamp)[:40]!r}, which is no instant; nothing was written; try again later"
        ) from error
    notes = reading or Reading(symbol, at.date(), at.date(), at)
    cap, volume, rank = (
        notes.cell(item.get(name), column, at)
        for name, column in (
            ("market_cap", "market_cap_usd"), ("total_volume", "volume_24h_usd"), ("market_cap_rank", "rank"),
        )
    )  # fmt: skip
    return positive(price, f"{what} price"), known(cap), known(volume), rank, at


async def fetch_ohlc(
    client: Client,
    settings: Settings,
    coin: Coin,
    start: date,
    end: date,
    now: datetime,
    reading: Reading | None = None,
) -> Bars:
    """Fetch the finished hourly candles of one coin, without volume; paid plans only.

    The provider stamps a candle with its close. ``ts`` is the open, one hour earlier.

    Args:
        client: makes the requests: one per 31 days.
        settings: base address, key and plan.
        coin: the coin whose candles are asked for.
        start: the first UTC day.
        end: the last UTC day, included.
        now: candles that close later are unfinished and left out.
        reading: counts what is not a row; by default a new one that is thrown away.

    Returns:
        The bars in order of time.

    Raises:
        NeverListedError: the catalogue has no identifier, or the plan has no hourly candles.
        NotListedError: the provider does not know the coin.
        SourceError: the answer cannot be had, is not hourly, or most of it cannot be trusted.
    """
    if settings.coingecko_plan in FREE_PLANS:
        raise NeverListedError(f"coingecko has hourly candles of {coin.symbol} on paid plans only")
    if coin.coingecko is None:
        raise NeverListedError(f"coingecko does not list {coin.symbol}")
    reading = reading or Reading(coin.symbol, start, end, now)
    table, digests = BarTable(reading), []
    for first, last in chunks(start, end, OHLC_DAYS):
        params = {
            "vs_currency": "usd",
            "from": int(midnight(first).timestamp()),
            "to": int(midnight(last + DAY).timestamp()),
            "interval": "hourly",
        }
        subject = f"{coin.symbol} {first} to {last}"
        answer = await get(client, settings, f"/coins/{coin.coingecko}/ohlc/range", params, subject)
        digests.append(answer.digest)
        source = source_name(NAME, answer)
        what = f"coingecko ohlc of {subject}"
        _read_candles(rows_of(answer.body, what), what, source, table)
    why = "" if table.rows else f"coingecko ohlc/range has no hourly candle of {coin.symbol} from {start} to {end}"
    return Bars(table.in_order(), digests, why=why)


def _read_candles(rows: list[Any], what: str, source: str, table: BarTable) -> None:
    """Put the finished candles into the table. Raises :class:`SourceError` where they are not hourly or mostly bad."""
    reading, closes = table.reading, []
    for row in rows:
        if not isinstance(row, list) or len(row) != 5:
            reading.aside(SHAPE, row)
            continue
        closed = reading.instant(row[0], MS, row)
        if closed is None:
            continue
        closes.append(closed)
        if closed.minute or closed.second or closed.microsecond:
            reading.aside("close time is not an hour mark", row, closed - HOUR)
            continue
        prices = reading.prices(row[1:], closed - HOUR, row)
        if prices is not None:
            table.add((closed - HOUR, *prices, None, source), 5)
    reading.judge(what, len(rows), MUST)
    refuse_coarse(closes, what, "set COINGECKO_PLAN to the plan of your key")
