"""CoinGecko: hourly prices (market_chart/range), current markets, hourly candles (ohlc/range).

https://docs.coingecko.com/reference/coins-id-market-chart-range: from/to in UNIX seconds, answers in milliseconds;
``interval=hourly`` at most 100 days a request; points come some seconds after the hour, in some months many minutes
after it: an hour's row is its first point at or after its mark, known from its own instant.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from functools import partial
from itertools import pairwise
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.errors import SourceError
from crypto_assets.partitions import DAY, chunks, midnight
from crypto_assets.settings import Settings
from crypto_assets.sources.client import Answer, Client, ResponseError
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
    FUTURE,
    HOUR,
    OUTSIDE,
    SAME_AGAIN,
    SHAPE,
    Bars,
    BarTable,
    Reading,
    gathered,
    refuse_coarse,
)

NAME = "coingecko"
CHART_DAYS = 100  # paid plans, interval=hourly: days a request
FREE_CHART_DAYS = 90  # free plans know no interval: hourly up to 90 days, 5-minutely for one, daily above
OHLC_DAYS = 31  # hourly candles: days a request
PAGE = 250  # coins a page of /coins/markets
AHEAD = timedelta(minutes=1)  # a point so shortly before a mark may fill its hour, where that has no point of its own
BESIDE = timedelta(seconds=5)  # market caps and volumes may be stamped so far beside their price
PRICE_COLUMNS = [
    "symbol", "ts", "date", "available_at", "source", "price_usd", "market_cap_usd", "volume_24h_usd",
]  # fmt: skip
FREE_PLANS = ("public", "demo")
_ONE_COIN = re.compile(r"^/coins/(?!markets|list)[^/]+")
MUST = (
    "the provider would have to give times in milliseconds and prices above zero: check COINGECKO_BASE_URL and the "
    "identifier in the catalogue, or try again later"
)
_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000
_AT_MIDNIGHT_MS = 300_000
_AHEAD_MS, _BESIDE_MS = int(AHEAD.total_seconds() * 1000), int(BESIDE.total_seconds() * 1000)
_MS = timedelta(milliseconds=1)
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
    """Hourly prices of these coins for the inclusive days (contract ``prices``).

    Args:
        client: makes the requests: one a coin and 100 days; one more for a coin without any point in the range.
        settings: base address, key and plan.
        coins: the coins.
        start: the first day.
        end: the last day, included.
        now: points after it are left to the next run.

    Returns:
        The rows. ``missing``: coins without an identifier, and coins that the provider lists since a later day;
        ``failed``: coins whose identifier it does not know (any more) or for which it answers without points.

    Raises:
        SourceError: too many coins failed (see ``each``), or a day that is over has no row of any coin.
    """
    before = client.calls
    missing = {coin.symbol: "no identifier in the catalogue" for coin in coins if coin.coingecko is None}
    asked = [coin for coin in coins if coin.coingecko is not None]
    readings = {coin.symbol: Reading(coin.symbol, start, end, now) for coin in asked}

    async def one(coin: Coin) -> tuple[list[pd.DataFrame], list[str]]:
        found, hashes = await _prices_of(client, settings, coin, start, end, now, readings[coin.symbol])
        if not found:
            missing[coin.symbol] = await _why_empty(client, settings, coin, start, end, now)
        return found, hashes

    answers, failed = await each({coin.symbol: partial(one, coin) for coin in asked}, missing)
    frames, digests = [], []
    for found, hashes in answers.values():
        frames += found
        digests += hashes
    frame = pd.concat(frames, ignore_index=True) if frames else _price_frame([])
    set_aside, surplus = gathered(readings.values())
    what = f"coingecko market_chart/range of {named(coins)}"
    require_days(frame["date"], start, end, now, what, missing={**failed, **missing}, set_aside=set_aside)
    return Fetched(frame, tuple(digests), missing, client.calls - before, failed, set_aside=set_aside, surplus=surplus)


async def _why_empty(client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime) -> str:
    """Why a coin has no point in a range: the provider lists it since a later day, or the range has hardly begun.

    Raises :class:`NotListedError` where neither is so: an empty answer is no absence.
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
        later = _points(answer.body, f"coingecko market_chart of {subject}", probe)
        if later:
            return f"coingecko lists it since {_moment(later[0][0]).date()}: no rows in the range"
    raise not_listed(
        f"coingecko market_chart/range answered without any point of {coin.symbol} from {start} to {end}, nor later: the "
        f"identifier {coin.coingecko!r} may be retired; correct the catalogue",
        sandbox,
    )


async def _prices_of(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, now: datetime, reading: Reading
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
        window = (midnight(first), midnight(last + DAY))
        points = _points(answer.body, f"coingecko market_chart of {subject}", reading, window)
        if points:
            found.append(_price_frame(points, coin.symbol, source_name(NAME, answer)))
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
    """(hour mark, instant, price, market cap, 24 h volume) in order of time: the first point at or after each mark.

    A market cap or volume of 0 is the provider's placeholder and becomes None.

    Raises:
        SourceError: another shape, or most points cannot be believed (times in seconds, prices of zero).
    """
    reading = Reading(subject, date(2009, 1, 1), date(2099, 12, 31), datetime(2099, 12, 31, tzinfo=timezone.utc))
    points = _points(body, f"coingecko market_chart of {subject}", reading)
    return [(_moment(ts), _moment(at), price, cap, volume) for ts, at, price, cap, volume in points]


def _points(body: object, what: str, reading: Reading, window: tuple[datetime, datetime] | None = None) -> list[_Point]:
    """The hours' points with times in milliseconds, of the window where one is given; every other point is counted."""
    if not isinstance(body, dict) or not isinstance(body.get("prices"), list):
        raise SourceError(f"{what} has no list of prices; nothing was written; try again later")
    until = _since_epoch(reading.now)
    low, high = (_since_epoch(at) for at in window) if window is not None else (0, until + 1)
    prices = _series(body["prices"], f"{what} prices", reading)
    times = sorted(ms for ms, value in prices.items() if _is_price(ms, value, until, reading))
    reading.judge(what, len(body["prices"]), MUST)
    if window is not None:
        _refuse_daily([ms for ms in times if low <= ms < high], min(high, until), what)
    chosen = _hours(times, low, high, until)
    used = sum(low <= ms < high for ms in chosen.values())
    inside = sum(low <= ms < high for ms in times)
    reading.spare("second point of the hour", inside - used)
    reading.spare(OUTSIDE, len(times) - inside - (len(chosen) - used))
    series = [
        _Beside(_series(body.get(name) or [], f"{what} {name}", reading, column), reading, column)
        for name, column in (("market_caps", "market_cap_usd"), ("total_volumes", "volume_24h_usd"))
    ]
    found: list[_Point] = []
    for mark, ms in sorted(chosen.items()):
        (cap_at, cap), (volume_at, volume) = (one.at(ms) for one in series)
        # A value stamped after its price makes the row known that much later.
        found.append((mark, max(ms, cap_at, volume_at), float(prices[ms] or 0), cap, volume))
    for one in series:
        one.count_rest()
    return found


def _is_price(ms: int, value: float | None, until: int, reading: Reading) -> bool:
    """Whether a point can be an hour's row; every other point is counted."""
    if ms > until + _DAY_MS:
        reading.aside(FUTURE, f"{_moment(ms):%Y-%m-%d %H:%M} {value}")
    elif ms > until:
        reading.spare("after the run's clock")
    elif value is None:
        reading.spare("no price at the instant")
    elif value <= 0:
        reading.aside("price is not above zero", f"{_moment(ms):%Y-%m-%d %H:%M} {value}", _moment(ms))
    else:
        return True
    return False


def _hours(times: Sequence[int], low: int, high: int, until: int) -> dict[int, int]:
    """Hour mark -> instant of its row, for marks from ``low`` to before ``high``.

    Each hour has its first point at or after its mark. A clock that runs ahead stamps points some seconds before the
    mark, and then an hour that is over (at ``until``) may have none while the one before has one to spare, or lies outside
    the window: from the empty hour back to the spare one, each hour takes the point up to ``AHEAD`` before its mark.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for ms in times:
        mark = ms - ms % _HOUR_MS
        first.setdefault(mark, ms)
        last[mark] = ms
    chosen = {mark: ms for mark, ms in first.items() if low <= mark < high}
    after = [mark + _HOUR_MS for mark in last]
    for mark in [mark for mark in after if low <= mark < high and mark not in first and mark + _HOUR_MS <= until]:
        moved: dict[int, int] = {}
        hour = mark
        while True:
            early = last.get(hour - _HOUR_MS)
            if early is None or hour - early > _AHEAD_MS:
                break  # nobody has a point to spare
            moved[hour] = early
            hour -= _HOUR_MS
            if hour < low or chosen.get(hour) != early:
                chosen |= moved
                break
    return chosen


class _Beside:
    """Market caps or volumes by the instant of their price; each serves one row and every other one is counted."""

    def __init__(self, values: Mapping[int, float | None], reading: Reading, column: str) -> None:
        self._values, self._times = values, sorted(values)
        self._reading, self._column = reading, column
        self._used: set[int] = set()

    def count_rest(self) -> None:
        self._reading.spare(f"{self._column} beside no row", len(self._values) - len(self._used))

    def at(self, ms: int) -> tuple[int, float | None]:
        """(its own instant, the value) at a price's instant or nearest to it within ``BESIDE``; (0, None) without."""
        if ms not in self._values:
            n = bisect_left(self._times, ms)
            near = min(self._times[max(n - 1, 0) : n + 1], key=lambda at: abs(at - ms), default=None)
            if near is None or abs(near - ms) > _BESIDE_MS:
                return 0, None
            ms = near
        self._used.add(ms)
        value = self._values[ms]
        if value is not None and value < 0:
            self._reading.aside("value is below zero", value, _moment(ms), self._column)
        known = _known(value)
        return (ms, known) if known is not None else (0, None)


def _refuse_daily(times: Sequence[int], until: int, what: str) -> None:
    """A day's point is not an hour's: a coarser answer must not pass as hours with gaps.

    Judged by what was asked, hours up to ``until``. Days come as points at 00:00, and the newest as the present instant,
    so the last distance may be shorter; a single one is a day's where the hours after it are over and have none.
    """
    gaps = [later - earlier for earlier, later in pairwise(times)]
    stamped = times[:-1] or times
    at_midnight = bool(stamped) and all(ms % _DAY_MS <= _AT_MIDNIGHT_MS for ms in stamped)
    newest = gaps[-1] if gaps else (until - times[0] if times else 0)
    whole_days = bool(gaps) and all(gap >= 23 * _HOUR_MS for gap in gaps)
    with_present = at_midnight and all(gap >= 23 * _HOUR_MS for gap in gaps[:-1]) and newest >= 3 * _HOUR_MS
    if whole_days or with_present:
        raise SourceError(
            f"{what} has daily points where hourly ones were asked; nothing was written; set COINGECKO_PLAN to the plan "
            "of your key"
        )


def _known(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _series(points: object, what: str, reading: Reading, column: str = "") -> dict[int, float | None]:
    """Values by millisecond. A year of a coin is 26,000 points: plain finite numbers take the short way.

    Of two different values at one instant neither is believed: nothing says which of them is right.
    """
    found: dict[int, float | None] = {}
    torn: set[int] = set()
    for point in rows_of(points, what):
        if not isinstance(point, list) or len(point) < 2:
            reading.aside(SHAPE, point, column=column)
            continue
        ms, value = point[0], point[1]
        if type(ms) is not int or not _MILLISECONDS_FROM <= ms <= _MILLISECONDS_TO:
            at = reading.instant(ms, _MS, point) if not column else None
            if at is None:
                if column:
                    reading.aside("time is not in milliseconds", point, column=column)
                continue
            ms = _since_epoch(at)
        if type(value) is not float or not isfinite(value):
            try:
                value = number(value, what)
            except SourceError:
                reading.aside("value is not a number", point, _moment(ms), column)
                continue
        if ms not in found:
            found[ms] = value
        elif found[ms] == value:
            reading.spare(SAME_AGAIN)
        else:
            torn.add(ms)
            reading.aside("two values at one instant", point, _moment(ms), column)
    for ms in torn:
        reading.aside("two values at one instant", [ms, found.pop(ms)], _moment(ms), column)
    return found


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


async def fetch_markets(client: Client, settings: Settings, coins: Sequence[Coin]) -> Fetched:
    """The present market of these coins: symbol, price_usd, market_cap_usd, volume_24h_usd, rank, available_at, source.

    One request for 250 coins. A coin whose price or instant is broken fails alone while few do (see ``refuse_many``);
    another broken cell is null and set aside.

    Raises:
        SourceError: the page cannot be had, or most of it cannot be believed.
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
            if known[1:-1] != row:  # the present twice: what was updated later is it
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
    """(symbol, entry) of a page. Raises :class:`SourceError` for a page without entries or with mostly strange ones."""
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
    """(price, market cap, 24 h volume, rank, instant) of an entry; None where it has no price.

    Raises:
        SourceError: the price is no number above zero, or ``last_updated`` is no instant.
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
    return positive(price, f"{what} price"), _known(cap), _known(volume), rank, at


async def fetch_ohlc(
    client: Client,
    settings: Settings,
    coin: Coin,
    start: date,
    end: date,
    now: datetime,
    reading: Reading | None = None,
) -> Bars:
    """Finished hourly candles of one coin, without volume; paid plans only.

    The provider stamps a candle with its close; ``ts`` is the open, one hour earlier.

    Args:
        client: makes the requests: one for 31 days.
        settings: base address, key and plan.
        coin: whose candles are asked for.
        start: the first day.
        end: the last day, included.
        now: candles that close later are unfinished.
        reading: counts what is no row; default: one that is thrown away.

    Raises:
        NeverListedError: no identifier in the catalogue, or a plan without hourly candles.
        NotListedError: the provider does not know the coin.
        SourceError: the answer cannot be had, is not hourly, or most of it cannot be believed.
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
        rows, closes = rows_of(answer.body, what), []
        for row in rows:
            if not isinstance(row, list) or len(row) != 5:
                reading.aside(SHAPE, row)
                continue
            closed = reading.instant(row[0], _MS, row)
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
    why = "" if table.rows else f"coingecko ohlc/range has no hourly candle of {coin.symbol} from {start} to {end}"
    return Bars(table.in_order(), digests, why=why)
