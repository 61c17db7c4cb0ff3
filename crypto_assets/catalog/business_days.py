"""Business days of the United States, and instants of publication there.

The holidays are those of the Federal Reserve (https://www.frbservices.org/about/holiday-schedules), where one on a
Saturday is not moved, and Good Friday, on which bond markets rest.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo

NEW_YORK, FRANKFURT = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
_DAY = timedelta(days=1)
_FIXED = ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25))  # month, day
_MONDAYS = ((1, 3), (2, 3), (9, 1), (10, 2))  # month, which Monday of it
_JUNETEENTH_SINCE = 2022


def is_business_day(day: date) -> bool:
    """Whether banks and bond markets of the United States are open on a day."""
    return day.weekday() < 5 and day not in _holidays(day.year)


def next_business_day(day: date) -> date:
    """Return the first business day after a day."""
    day += _DAY
    while not is_business_day(day):
        day += _DAY
    return day


def published(day: date, hour: time | None, zone: ZoneInfo = NEW_YORK) -> datetime:
    """Return the instant (UTC) from which a value counts that is published on a day.

    Args:
        day: The day, where the publisher is.
        hour: The hour there; None where it is not documented: the next midnight UTC.
        zone: The publisher's time zone.

    Returns:
        The instant, UTC.
    """
    if hour is None:
        return datetime.combine(day + _DAY, time(), timezone.utc)
    return datetime.combine(day, hour, zone).astimezone(timezone.utc)


@cache
def _holidays(year: int) -> frozenset[date]:
    fixed = [date(year, month, day) for month, day in _FIXED if month != 6 or year >= _JUNETEENTH_SINCE]
    moved = [day + _DAY if day.weekday() == 6 else day for day in fixed]
    mondays = [_weekday(year, month, 0, which) for month, which in _MONDAYS]
    memorial = max(day for n in range(25, 32) if (day := date(year, 5, n)).weekday() == 0)
    thanksgiving = _weekday(year, 11, 3, 4)
    return frozenset({*moved, *mondays, memorial, thanksgiving, _easter(year) - 2 * _DAY})


def _weekday(year: int, month: int, weekday: int, which: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (which - 1))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by the anonymous algorithm of 1876."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    l_ = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * l_) // 451
    month, day = divmod(h + l_ - 7 * m + 114, 31)
    return date(year, month, day + 1)
