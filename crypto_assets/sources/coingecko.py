"""CoinGecko: hourly prices (market_chart/range), current markets, hourly candles (ohlc/range).

https://docs.coingecko.com/reference/coins-id-market-chart-range: from/to in UNIX seconds, answers in milliseconds;
``interval=hourly`` at most 100 days a request; points come some seconds after the hour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from functools import partial
from itertools import pairwise
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.partitions import DAY, chunks, midnight
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Answer, Client, ResponseError
from crypto_assets.sources.fetched import (
    Fetched,
    each,
    named,
    number,
    positive,
    refuse_many,
    require_days,
    rows_of,
    source_name,
    utc,
)

NAME = "coingecko"
CHART_DAYS = 100  # paid plans, interval=hourly: days a request
FREE_CHART_DAYS = 90  # free plans know no interval: hourly up to 90 days, 5-minutely for one, daily above
OHLC_DAYS = 31  # hourly candles: days a request
PAGE = 250  # coins a page of /coins/markets
ON_THE_MARK = timedelta(minutes=15)  # a point later after the hour is not the hour's observation
HOUR = timedelta(hours=1)
PRICE_COLUMNS = [
    "symbol", "ts", "date", "available_at", "source", "price_usd", "market_cap_usd", "volume_24h_usd",
]  # fmt: skip
FREE_PLANS = ("public", "demo")
_ONE_COIN = re.compile(r"^/coins/(?!markets|list)[^/]+")
_DAY_MS, _HOUR_MS, _ON_THE_MARK_MS = 86_400_000, 3_600_000, int(ON_THE_MARK.total_seconds() * 1000)
_Point: TypeAlias = tuple[int, int, float, float | None, float | None]  # mark, instant (ms), price, cap, volume
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECONDS_TO = 10**13
_MILLISECONDS_FROM = 10**11  # no instant since 1973 is smaller in milliseconds; none before 5138 is larger in seconds


def headers(settings: Settings) -> dict[str, str]:
    """The key in the header that its plan wants; none without a key."""
    if settings.coingecko_api_key is None:
        return {}
    name = "x-cg-demo-api-key" if settings.coingecko_plan in FREE_PLANS else "x-cg-pro-api-key"
    return {name: settings.coingecko_api_key.get_secret_value()}


async def get(client: Client, settings: Settings, path: str, params: Mapping[str, Any], subject: str) -> Answer:
    """One request. An unknown coin raises :class:`NotListedError`; a wrong key or plan says what to change."""
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
            raise NotListedError(
                f"coingecko {path} does not know {subject}; correct the catalogue", status=404
            ) from error
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
    """The error code of any of the provider's error shapes."""
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
    """Hourly prices of these coins for the inclusive days (contract ``prices``). One request a coin and 100 days."""
    before = client.calls
    missing = {coin.symbol: "no identifier in the catalogue" for coin in coins if coin.coingecko is None}
    asked = [coin for coin in coins if coin.coingecko is not None]
    answers, failed = await each(
        {coin.symbol: partial(_prices_of, client, settings, coin, start, end, now) for coin in asked}, missing
    )
    frames, digests = [], []
    for symbol, (found, hashes) in answers.items():
        if not found:
            missing[symbol] = "no rows in the range"
        frames += found
        digests += hashes
    frame = pd.concat(frames, ignore_index=True) if frames else _price_frame([])
    require_days(
        frame["date"], start, end, now, f"coingecko market_chart/range of {named(coins)}", missing={**failed, **missing}
    )
    return Fetched(frame, tuple(digests), missing, client.calls - before, failed)


async def _prices_of(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime
) -> tuple[list[pd.DataFrame], list[str]]:
    """A frame a window that has rows: millions of tuples would make the collector stop us beyond our turn."""
    found: list[pd.DataFrame] = []
    digests = []
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
        points = _points(answer.body, f"coingecko market_chart of {subject}")
        _refuse_daily(points, subject)
        low, high, until = (_since_epoch(at) for at in (midnight(first), midnight(last + DAY), now))
        inside = [point for point in points if low <= point[0] < high and point[1] <= until]
        if inside:
            found.append(_price_frame(inside, coin.symbol, source_name(NAME, answer)))
    return found, digests


def _price_frame(points: Sequence[_Point], symbol: str = "", source: str = "") -> pd.DataFrame:
    """Rows of contract ``prices``, column by column: a backfill has millions of them."""
    marks, instants, *values = zip(*points, strict=True) if points else ((),) * 5
    days = {mark // _DAY_MS: _moment(mark).date() for mark in marks[::12] + marks[-1:]}
    frame = pd.DataFrame({"symbol": symbol, "ts": _instants(marks)}, columns=PRICE_COLUMNS[:2])
    frame["date"] = pd.Series([days.get(m // _DAY_MS) or _moment(m).date() for m in marks], dtype=object)
    frame["available_at"], frame["source"] = _instants(instants), source
    for name, column in zip(PRICE_COLUMNS[5:], values, strict=True):
        frame[name] = np.array(column, dtype="float64")
    return frame


def _instants(milliseconds: Sequence[int]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(np.array(milliseconds, dtype="datetime64[ms]")).tz_localize("UTC").as_unit("us")


def _since_epoch(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def parse_market_chart(
    body: object, subject: str
) -> list[tuple[datetime, datetime, float, float | None, float | None]]:
    """(hour mark, instant, price, market cap, 24 h volume) in order of time, the first point of each hour on its mark.

    Raises :class:`SourceError` for another shape, a price that is not above zero, or times in seconds. A market cap
    or volume of 0 is the provider's placeholder and becomes None.
    """
    points = _points(body, f"coingecko market_chart of {subject}")
    return [(_moment(ts), _moment(at), price, cap, volume) for ts, at, price, cap, volume in points]


def _points(body: object, what: str) -> list[_Point]:
    """The same with times in milliseconds."""
    if not isinstance(body, dict) or not isinstance(body.get("prices"), list):
        raise SourceError(f"{what} has no list of prices; nothing was written; try again later")
    caps, volumes = (_series(body.get(name, []), f"{what} {name}") for name in ("market_caps", "total_volumes"))
    points: dict[int, _Point] = {}
    for ms, value in sorted(_series(body["prices"], f"{what} prices").items()):
        mark = ms - ms % _HOUR_MS
        if value is None or ms - mark > _ON_THE_MARK_MS or mark in points:
            continue
        price = positive(value, f"{what} price at {_moment(ms):%Y-%m-%d %H:%M}") if value <= 0 else value
        points[mark] = (mark, ms, price, _known(caps.get(ms)), _known(volumes.get(ms)))
    return list(points.values())


def _refuse_daily(points: Sequence[_Point], subject: str) -> None:
    """A day's point is not an hour's: a coarser answer must not pass as hours with gaps."""
    marks = [point[0] for point in points]
    if len(marks) > 2 and all(later - earlier >= _DAY_MS for earlier, later in pairwise(marks)):
        raise SourceError(
            f"coingecko market_chart of {subject} has daily points where hourly ones were asked; nothing was written; "
            "set COINGECKO_PLAN to the plan of your key"
        )


def _known(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _series(points: object, what: str) -> dict[int, float | None]:
    """Values by millisecond. A year of a coin is 26,000 points: plain finite numbers take the short way."""
    found: dict[int, float | None] = {}
    for point in rows_of(points, what):
        if not isinstance(point, list) or len(point) < 2:
            raise SourceError(f"{what} has a point that is not [time, value]; nothing was written; try again later")
        ms, value = point[0], point[1]
        if type(ms) is not int or not _MILLISECONDS_FROM <= ms <= _MILLISECONDS_TO:
            ms = _milliseconds(ms, what)
        if type(value) is not float or not isfinite(value):
            value = number(value, what)
        if found.setdefault(ms, value) != value:
            raise SourceError(
                f"{what} has two values at {_moment(ms):%Y-%m-%d %H:%M}; nothing was written; try again later"
            )
    return found


def _milliseconds(value: object, what: str) -> int:
    milliseconds = number(value, f"{what} time")
    if milliseconds is None or not _MILLISECONDS_FROM <= milliseconds <= _MILLISECONDS_TO:
        raise SourceError(
            f"{what} has time {str(value)[:20]}, not in milliseconds; nothing was written; try again later"
        )
    return int(milliseconds)


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


async def fetch_markets(client: Client, settings: Settings, coins: Sequence[Coin]) -> Fetched:
    """The present market of these coins: symbol, price_usd, market_cap_usd, volume_24h_usd, rank, available_at, source.

    One request for 250 coins. A coin whose entry is broken fails alone while few do (see ``each``).
    """
    before = client.calls
    by_id = {coin.coingecko: coin for coin in coins if coin.coingecko}
    ids, digests = list(by_id), []
    rows: dict[str, tuple[Any, ...]] = {}
    failed: dict[str, str] = {}
    for page in (ids[n : n + PAGE] for n in range(0, len(ids), PAGE)):
        params = {"vs_currency": "usd", "ids": ",".join(page), "per_page": PAGE, "page": 1}
        subject = f"{by_id[page[0]].symbol}{f' and {len(page) - 1} more' if len(page) > 1 else ''}"
        answer = await get(client, settings, "/coins/markets", params, subject)
        digests.append(answer.digest)
        for symbol, item in _entries(answer.body, {name: by_id[name].symbol for name in page}, subject):
            try:
                row = parse_market(item, symbol)
                if row is not None and rows.setdefault(symbol, (symbol, *row, source_name(NAME, answer)))[1:-1] != row:
                    raise SourceError(f"coingecko /coins/markets has {symbol} twice, differently; try again later")
            except SourceError as error:
                failed[symbol] = str(error)
                rows.pop(symbol, None)
                refuse_many(failed, len(ids), error)
    columns = ["symbol", "price_usd", "market_cap_usd", "volume_24h_usd", "rank", "available_at", "source"]
    frame = utc(
        pd.DataFrame([row for name, row in rows.items() if name not in failed], columns=columns), "available_at"
    )
    absent = {c.symbol: "no price" for c in by_id.values() if c.symbol not in rows and c.symbol not in failed}
    return Fetched(frame, tuple(digests), absent, client.calls - before, failed)


def _entries(body: object, symbols: Mapping[str, str], subject: str) -> list[tuple[str, Any]]:
    """(symbol, entry) of a page. Raises :class:`SourceError` for a page without entries or with ones not asked for."""
    what = f"coingecko /coins/markets of {subject}"
    found = rows_of(body, what)
    if not found:
        raise SourceError(f"{what} answered an empty list; nothing was written; try again later")
    for item in found:
        if not isinstance(item, dict) or str(item.get("id")) not in symbols:
            raise SourceError(f"{what} has an entry that was not asked for; nothing was written; try again later")
    return [(symbols[str(item["id"])], item) for item in found]


def parse_market(
    item: Mapping[str, Any], symbol: str
) -> tuple[float, float | None, float | None, float | None, datetime] | None:
    """(price, market cap, 24 h volume, rank, instant) of an entry; None where it has no price."""
    what = f"coingecko /coins/markets of {symbol}"
    price = number(item.get("current_price"), f"{what} price")
    if price is None:
        return None
    cap, volume = (_known(number(item.get(n), f"{what} {n}")) for n in ("market_cap", "total_volume"))
    stamp = item.get("last_updated")
    try:
        at = datetime.fromisoformat(str(stamp).replace("Z", "+00:00"))
        if at.tzinfo is None or not isinstance(stamp, str):
            raise ValueError("no UTC instant")
    except ValueError as error:
        raise SourceError(
            f"{what} has last_updated {str(stamp)[:40]!r}, which is no instant; nothing was written; try again later"
        ) from error
    rank = number(item.get("market_cap_rank"), f"{what} rank")
    return positive(price, f"{what} price"), cap, volume, rank, at.astimezone(timezone.utc)


async def fetch_ohlc(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Hourly candles of one coin as (ts, open, high, low, close, None, source); paid plans only.

    The provider stamps a candle with its close; ``ts`` is the open, one hour earlier.
    """
    if settings.coingecko_plan in FREE_PLANS:
        raise NotListedError(f"coingecko has hourly candles of {coin.symbol} on paid plans only")
    if coin.coingecko is None:
        raise NotListedError(f"coingecko does not list {coin.symbol}")
    rows: dict[datetime, tuple[Any, ...]] = {}
    digests = []
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
        what = f"coingecko ohlc of {subject}"
        for row in rows_of(answer.body, what):
            if not isinstance(row, list) or len(row) != 5:
                raise SourceError(f"{what} has a row that is not 5 values; nothing was written; try again later")
            close_time = _moment(_milliseconds(row[0], what))
            if close_time <= now and midnight(first) <= close_time - HOUR < midnight(last + DAY):
                ts = close_time - HOUR
                bar = (ts, *(positive(v, what) for v in row[1:]), None, source_name(NAME, answer))
                if rows.setdefault(ts, bar) != bar:
                    raise SourceError(f"{what} has two candles at {row[0]}; nothing was written; try again later")
    return [rows[ts] for ts in sorted(rows)], digests
