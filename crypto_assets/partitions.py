"""One daily UTC calendar for the whole graph, and the helpers that speak of days, ranges and look-back windows.

One start date for every table: ragged starts break single-run backfills (dagster #19625). A coin that lists later
simply has no rows before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from crypto_assets.errors import UsageError

DAY = timedelta(days=1)
EPOCH = date(1970, 1, 1)


class UtcDays(dg.DailyPartitionsDefinition):
    """Dagster's daily calendar from a first day to the day in progress, counted instead of walked through as cron ticks.

    The stock one walks through every day since the first to name them, which each of a run's checks has it do, and
    through some for each day whose status is asked: 0.1 s a time over five years, half of what a small run took.
    """

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> list[str]:
        with partition_loading_context(current_time, dynamic_partitions_store):
            now = datetime.fromtimestamp(self._get_current_timestamp(), timezone.utc)
        return [day.isoformat() for day in days(self.start.date(), now.date())]

    def time_window_for_partition_key(self, partition_key: str) -> dg.TimeWindow:  # type: ignore[override]
        """Raises ValueError for what is no day, as the stock one does."""
        opens = datetime.fromisoformat(partition_key).replace(tzinfo=self.start.tzinfo)
        if opens.date().isoformat() != partition_key:  # ISO has other ways to write a day
            raise ValueError(f"time data {partition_key!r} does not match format '%Y-%m-%d'")
        return dg.TimeWindow(opens, opens + DAY)

    def get_partition_keys_in_time_window(self, time_window: dg.TimeWindow) -> list[str]:  # type: ignore[override]
        """The days that open within the window."""
        first = -(-time_window.start.timestamp() // DAY.total_seconds())
        last = -(-time_window.end.timestamp() // DAY.total_seconds()) - 1
        return [day.isoformat() for day in days(EPOCH + DAY * first, EPOCH + DAY * last)]

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:  # by a repr that the stock one makes anew for every cache it looks into
        return self._hash


def daily(start: date) -> UtcDays:
    """The calendar. It includes the day in progress, so that ticks can fill it; coverage does not count it."""
    return UtcDays(start_date=start.isoformat(), timezone="UTC", end_offset=1)


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
