"""Read the answers of CoinGecko's market_chart/range: one point per hour, and a count of every other point.

The row of an hour is its first point at or after the hour mark, available from the point's own instant. No request is
made here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from math import isfinite
from typing import TypeAlias

import numpy as np
import pandas as pd

from crypto_assets.errors import SourceError
from crypto_assets.sources.fetched import number, rows_of
from crypto_assets.sources.reading import FUTURE, OUTSIDE, SAME_AGAIN, SHAPE, Reading

AHEAD = timedelta(minutes=1)  # a point this shortly before a mark may fill the hour if it has no own point
BESIDE = timedelta(seconds=5)  # the largest distance between the stamp of a price and of its market cap or volume
PRICE_COLUMNS = [
    "symbol", "ts", "date", "available_at", "source", "price_usd", "market_cap_usd", "volume_24h_usd",
]  # fmt: skip
MUST = (
    "the provider would have to give times in milliseconds and prices above zero: check COINGECKO_BASE_URL and the "
    "identifier in the catalogue, or try again later"
)
_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000
_AT_MIDNIGHT_MS = 300_000
_AHEAD_MS, _BESIDE_MS = int(AHEAD.total_seconds() * 1000), int(BESIDE.total_seconds() * 1000)
MS = timedelta(milliseconds=1)
Point: TypeAlias = tuple[int, int, float, float | None, float | None]  # mark, instant (ms), price, cap, volume
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECONDS_TO = 10**13
_MILLISECONDS_FROM = 10**11  # in milliseconds this is 1973, in seconds the year 5138: it tells the two units apart


def price_frame(points: Sequence[Point], symbol: str = "", source: str = "") -> pd.DataFrame:
    """Build rows of contract ``prices`` from points, column by column, because a backfill has millions of rows.

    Args:
        points: the points of one coin.
        symbol: the coin's symbol.
        source: the value of the ``source`` column.

    Returns:
        A frame with the columns ``PRICE_COLUMNS``.
    """
    marks, instants, *values = zip(*points, strict=True) if points else ((),) * 5
    days = {mark // _DAY_MS: moment(mark).date() for mark in marks[::12] + marks[-1:]}
    frame = pd.DataFrame({"symbol": symbol, "ts": _instants(marks)}, columns=PRICE_COLUMNS[:2])
    frame["date"] = pd.Series([days.get(m // _DAY_MS) or moment(m).date() for m in marks], dtype=object)
    frame["available_at"], frame["source"] = _instants(instants), source
    for name, column in zip(PRICE_COLUMNS[5:], values, strict=True):
        frame[name] = np.array(column, dtype="float64")
    return frame


def _instants(milliseconds: Sequence[int]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(np.array(milliseconds, dtype="datetime64[ms]")).tz_localize("UTC").as_unit("us")


def _since_epoch(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def points_of(
    body: object, what: str, reading: Reading, window: tuple[datetime, datetime] | None = None
) -> list[Point]:
    """Choose the point of each hour; count every other point in ``reading``.

    Args:
        body: the parsed JSON.
        what: the provider, route and window, for error messages.
        reading: counts the points that are not a row.
        window: the first instant and the instant after the last; None for all hours.

    Returns:
        The points in order of time, with times in milliseconds.

    Raises:
        SourceError: the answer has another shape, is daily instead of hourly, or most points cannot be trusted.
    """
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
    found: list[Point] = []
    for mark, ms in sorted(chosen.items()):
        (cap_at, cap), (volume_at, volume) = (one.at(ms) for one in series)
        # A value that is stamped after its price delays ``available_at`` of the row.
        found.append((mark, max(ms, cap_at, volume_at), float(prices[ms] or 0), cap, volume))
    for one in series:
        one.count_rest()
    return found


def _is_price(ms: int, value: float | None, until: int, reading: Reading) -> bool:
    """Whether a point can be the row of an hour. Every other point is counted."""
    if ms > until + _DAY_MS:
        reading.aside(FUTURE, f"{moment(ms):%Y-%m-%d %H:%M} {value}")
    elif ms > until:
        reading.spare("after the run's clock")
    elif value is None:
        reading.spare("no price at the instant")
    elif value <= 0:
        reading.aside("price is not above zero", f"{moment(ms):%Y-%m-%d %H:%M} {value}", moment(ms))
    else:
        return True
    return False


def _hours(times: Sequence[int], low: int, high: int, until: int) -> dict[int, int]:
    """Choose the instant of each hour's row: hour mark -> instant, for marks from ``low`` to before ``high``.

    Each hour has its first point at or after its mark. A clock that runs ahead stamps points some seconds before the
    mark. Then an hour that is over (at ``until``) may have no point, while an earlier hour has one too many or lies
    outside the window. In that case each hour from the empty one back to that earlier one takes the point up to
    ``AHEAD`` before its mark. Inside the window no point crosses midnight: a run of one day must give the same rows as
    a run of many.
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
        while hour % _DAY_MS or hour == low:
            early = last.get(hour - _HOUR_MS)
            if early is None or hour - early > _AHEAD_MS:
                break  # no earlier hour has a point too many
            moved[hour] = early
            hour -= _HOUR_MS
            if hour < low or chosen.get(hour) != early:
                chosen |= moved
                break
    return chosen


class _Beside:
    """Market caps or volumes by the instant of their price. Each serves one row; the unused ones are counted."""

    def __init__(self, values: Mapping[int, float | None], reading: Reading, column: str) -> None:
        self._values, self._times = values, sorted(values)
        self._reading, self._column = reading, column
        self._used: set[int] = set()

    def count_rest(self) -> None:
        self._reading.spare(f"{self._column} beside no row", len(self._values) - len(self._used))

    def at(self, ms: int) -> tuple[int, float | None]:
        """Return (its own instant, the value) at a price's instant, or nearest to it within ``BESIDE``.

        Returns (0, None) where there is none. A value of another UTC day does not count: a run of one day does not
        see it.
        """
        if ms not in self._values:
            n = bisect_left(self._times, ms)
            beside = [at for at in self._times[max(n - 1, 0) : n + 1] if at // _DAY_MS == ms // _DAY_MS]
            near = min(beside, key=lambda at: abs(at - ms), default=None)
            if near is None or abs(near - ms) > _BESIDE_MS:
                return 0, None
            ms = near
        self._used.add(ms)
        value = self._values[ms]
        if value is not None and value < 0:
            self._reading.aside("value is below zero", value, moment(ms), self._column)
        found = known(value)
        return (ms, found) if found is not None else (0, None)


def _refuse_daily(times: Sequence[int], until: int, what: str) -> None:
    """Refuse daily points, which must not pass as hours with gaps.

    The hours asked for end at ``until``. Daily points are stamped 00:00 and the newest with the current instant, so the
    last distance may be shorter. A single point counts as daily where the hours after it are over and have no point.
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


def known(value: float | None) -> float | None:
    """Return the value if it is above zero, else None: 0 is the provider's placeholder for market caps and volumes."""
    return value if value is not None and value > 0 else None


def _series(points: object, what: str, reading: Reading, column: str = "") -> dict[int, float | None]:
    """Read values by millisecond. A year of a coin is 26,000 points, so plain finite numbers take a short path.

    Of two different values at one instant none is trusted, because nothing says which of them is right.
    """
    found: dict[int, float | None] = {}
    torn: set[int] = set()
    for point in rows_of(points, what):
        if not isinstance(point, list) or len(point) < 2:
            reading.aside(SHAPE, point, column=column)
            continue
        ms, value = point[0], point[1]
        if type(ms) is not int or not _MILLISECONDS_FROM <= ms <= _MILLISECONDS_TO:
            at = reading.instant(ms, MS, point) if not column else None
            if at is None:
                if column:
                    reading.aside("time is not in milliseconds", point, column=column)
                continue
            ms = _since_epoch(at)
        if type(value) is not float or not isfinite(value):
            try:
                value = number(value, what)
            except SourceError:
                reading.aside("value is not a number", point, moment(ms), column)
                continue
        if ms not in found:
            found[ms] = value
        elif found[ms] == value:
            reading.spare(SAME_AGAIN)
        else:
            torn.add(ms)
            reading.aside("two values at one instant", point, moment(ms), column)
    for ms in torn:
        reading.aside("two values at one instant", [ms, found.pop(ms)], moment(ms), column)
    return found


def moment(milliseconds: int) -> datetime:
    """Turn milliseconds since 1970 into a UTC datetime."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
