"""Spans of time and instants as a reader writes them: a day, an instant or ISO text, in UTC."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import TypeAlias

from crypto_assets.dates import DAY, midnight, parse_day, parse_moment
from crypto_assets.errors import UsageError

When: TypeAlias = "date | datetime | str"
AsOf: TypeAlias = "int | date | datetime | str"

_TICK = timedelta(microseconds=1)  # the resolution of the tables' timestamps
_DAY_TEXT = re.compile(r"\s*\d{4}-\d{2}-\d{2}\s*")


def first_instant(value: When, what: str) -> datetime:
    """Read where a span begins.

    Args:
        value: a day, an instant or ISO text; one without a time zone is UTC.
        what: the argument's name, for the error message.

    Returns:
        The instant, UTC; the midnight of a day.

    Raises:
        UsageError: it is no day and no instant.
    """
    day = _day(value, what)
    return _moment(value, what) if day is None else midnight(day)


def last_instant(value: When, what: str) -> datetime:
    """Read where a span ends, included.

    Args:
        value: a day, an instant or ISO text; one without a time zone is UTC.
        what: the argument's name, for the error message.

    Returns:
        The instant, UTC; the last microsecond of a day, so that a day is included whole.

    Raises:
        UsageError: it is no day and no instant.
    """
    day = _day(value, what)
    return _moment(value, what) if day is None else midnight(day) + (DAY - _TICK)


def past_instant(value: When, what: str) -> datetime:
    """Read an instant that is not in the future, so that the same call gives the same answer later.

    Args:
        value: an instant, ISO text, or a day, which means its midnight; without a time zone it is UTC.
        what: the argument's name, for the error message.

    Returns:
        The instant, UTC.

    Raises:
        UsageError: it is none, or it is in the future.
    """
    found = first_instant(value, what)
    if found > datetime.now(timezone.utc):
        raise UsageError(f"{what} {value} is in the future: the same call would give another answer later")
    return found


def _day(value: When, what: str) -> date | None:
    if isinstance(value, str):
        return parse_day(value, what) if _DAY_TEXT.fullmatch(value) else None
    return value if isinstance(value, date) and not isinstance(value, datetime) else None


def _moment(value: When, what: str) -> datetime:
    if isinstance(value, str):
        return parse_moment(value, what)
    if not isinstance(value, datetime):
        raise UsageError(f"{what} {value!r} is a {type(value).__name__}; give a date, a datetime or ISO text")
    try:
        moment = datetime.fromisoformat(value.isoformat())  # a pandas Timestamp has nanoseconds and own rules
    except ValueError as error:  # NaT, or nanoseconds
        raise UsageError(f"{what} {value!r} is not an instant in microseconds; give a datetime in UTC") from error
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
