"""One daily UTC partition calendar for the whole graph.

Every table starts on the same date, because different start dates break single-run backfills (dagster #19625). A coin
that is listed later has no rows before.
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from crypto_assets.dates import DAY, EPOCH, days


class UtcDays(dg.DailyPartitionsDefinition):
    """Dagster's daily partitions from a first day to the day in progress, computed with dates instead of cron ticks.

    Dagster's own class iterates over all days to list them: 0.1 s each time over five years, and each check of a run asks
    for the list. That was half of the time of a small run.
    """

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> list[str]:
        """Return every day up to the day in progress as ``YYYY-MM-DD``; the arguments are Dagster's."""
        with partition_loading_context(current_time, dynamic_partitions_store):
            now = datetime.fromtimestamp(self._get_current_timestamp(), timezone.utc)
        return [day.isoformat() for day in days(self.start.date(), now.date())]

    def time_window_for_partition_key(self, partition_key: str) -> dg.TimeWindow:  # type: ignore[override]
        """Return the day as a window.

        Args:
            partition_key: ``YYYY-MM-DD``.

        Returns:
            From the midnight that opens the day to the next one, UTC.

        Raises:
            ValueError: The key is no such day.
        """
        opens = datetime.fromisoformat(partition_key).replace(tzinfo=self.start.tzinfo)
        if opens.date().isoformat() != partition_key:  # ISO has other ways to write a day
            raise ValueError(f"time data {partition_key!r} does not match format '%Y-%m-%d'")
        return dg.TimeWindow(opens, opens + DAY)

    def get_partition_keys_in_time_window(self, time_window: dg.TimeWindow) -> list[str]:  # type: ignore[override]
        """Return the days that begin within a window, as ``YYYY-MM-DD``."""
        first = -(-time_window.start.timestamp() // DAY.total_seconds())
        last = -(-time_window.end.timestamp() // DAY.total_seconds()) - 1
        return [day.isoformat() for day in days(EPOCH + DAY * first, EPOCH + DAY * last)]

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:  # Dagster computes it from a repr at every lookup in a cache
        return self._hash


def daily(start: date) -> UtcDays:
    """Return the calendar from ``start`` (UTC) on. It includes the day in progress for ticks; coverage does not count that day."""
    return UtcDays(start_date=start.isoformat(), timezone="UTC", end_offset=1)
