"""UTC days: ranges, chunks and parsing. No Dagster; the partition calendar is in ``assets/calendar.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone

from crypto_assets.errors import UsageError

DAY = timedelta(days=1)
EPOCH = date(1970, 1, 1)


def today() -> date:
    return datetime.now(timezone.utc).date()


def yesterday() -> date:
    return today() - DAY


def parse_day(text: str, what: str) -> date:
    """A date from ``YYYY-MM-DD``; :class:`UsageError` otherwise."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"{what} {text!r} is not a calendar date; write YYYY-MM-DD, e.g. 2021-03-01") from error


def parse_moment(text: str, what: str) -> datetime:
    """A UTC instant from ISO text, a date being its midnight; :class:`UsageError` otherwise."""
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{what} {text!r} is not an instant; write YYYY-MM-DDTHH:MM in UTC, e.g. 2024-01-02T15:00"
        ) from error


def check_range(start: date, end: date, first: date) -> None:
    """Raises :class:`UsageError` unless ``first <= start <= end <= today`` (UTC)."""
    if start > end:
        raise UsageError(f"the range starts ({start}) after it ends ({end}); swap --start and --end")
    if start < first:
        raise UsageError(
            f"{start} is before the first partition ({first}); choose a later --start or set CRYPTO_ASSETS_START"
        )
    if end > today():
        raise UsageError(f"{end} is in the future (today is {today()} UTC); choose an earlier --end")


def days(start: date, end: date) -> list[date]:
    """Every day from start to end, both included."""
    return [start + DAY * n for n in range((end - start).days + 1)]


def chunks(start: date, end: date, size: int) -> Iterator[tuple[date, date]]:
    """Consecutive sub-ranges of at most ``size`` days, in order, covering start..end exactly."""
    while start <= end:
        stop = min(end, start + DAY * (size - 1))
        yield start, stop
        start = stop + DAY


def runs_of(dates: Iterable[date]) -> list[tuple[date, date]]:
    """Maximal ranges of consecutive days, in order: {1, 2, 5} -> [(1, 2), (5, 5)]."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(dates)):
        if found and day == found[-1][1] + DAY:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def midnight(day: date) -> datetime:
    """The instant at which the day opens, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
