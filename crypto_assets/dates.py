"""UTC days: ranges, chunks and parsing. No Dagster; the calendar of partitions is in ``assets/calendar.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone

from crypto_assets.errors import UsageError

DAY = timedelta(days=1)
EPOCH = date(1970, 1, 1)


def today() -> date:
    """Return the current UTC day."""
    return datetime.now(timezone.utc).date()


def yesterday() -> date:
    """Return the UTC day before the current one."""
    return today() - DAY


def parse_day(text: str, what: str) -> date:
    """Read a date.

    Args:
        text: ``YYYY-MM-DD``.
        what: where it was written, for the error message.

    Returns:
        The date.

    Raises:
        UsageError: the text is not a date.
    """
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"{what} {text!r} is not a calendar date; write YYYY-MM-DD, e.g. 2021-03-01") from error


def parse_moment(text: str, what: str) -> datetime:
    """Read a UTC instant.

    Args:
        text: ISO text; a date means its midnight.
        what: where it was written, for the error message.

    Returns:
        The instant.

    Raises:
        UsageError: the text is not an instant.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{what} {text!r} is not an instant; write YYYY-MM-DDTHH:MM in UTC, e.g. 2024-01-02T15:00"
        ) from error


def check_range(start: date, end: date, first: date) -> None:
    """Check a range of days.

    Args:
        start: the first day.
        end: the last day, included.
        first: the earliest day allowed.

    Raises:
        UsageError: not ``first <= start <= end <= today`` (UTC).
    """
    if start > end:
        raise UsageError(f"the range starts ({start}) after it ends ({end}); swap --start and --end")
    if start < first:
        raise UsageError(
            f"{start} is before the first partition ({first}); choose a later --start or set CRYPTO_ASSETS_START"
        )
    if end > today():
        raise UsageError(f"{end} is in the future (today is {today()} UTC); choose an earlier --end")


def days(start: date, end: date) -> list[date]:
    """Return every day from start to end, both included."""
    return [start + DAY * n for n in range((end - start).days + 1)]


def months(start: date, end: date) -> list[date]:
    """Return the first day of every month that begins in start..end, both included."""
    return [day for day in days(start, end) if day.day == 1]


def chunks(start: date, end: date, size: int) -> Iterator[tuple[date, date]]:
    """Split a range of days.

    Args:
        start: the first day.
        end: the last day, included.
        size: the largest number of days in a part.

    Yields:
        (first, last) of consecutive parts, in order, that cover start..end exactly.
    """
    while start <= end:
        stop = min(end, start + DAY * (size - 1))
        yield start, stop
        start = stop + DAY


def runs_of(dates: Iterable[date]) -> list[tuple[date, date]]:
    """Group dates into ranges of consecutive days, in order: {1, 2, 5} -> [(1, 2), (5, 5)]."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(dates)):
        if found and day == found[-1][1] + DAY:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def runs_of_months(firsts: Iterable[date], size: int) -> list[tuple[date, date]]:
    """Group first days of months into ranges of at most ``size`` consecutive months, in order."""
    found: list[list[date]] = []
    for first in sorted(set(firsts)):
        follows = bool(found) and (found[-1][-1] + DAY * 31).replace(day=1) == first
        if follows and len(found[-1]) < size:
            found[-1].append(first)
        else:
            found.append([first])
    return [(group[0], group[-1]) for group in found]


def midnight(day: date) -> datetime:
    """Return the UTC instant at which the day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
