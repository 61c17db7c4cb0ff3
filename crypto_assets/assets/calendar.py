"""One daily UTC partition calendar for the whole graph, and one of months for trainings.

Every table starts on the same date, because different start dates break single-run backfills (dagster #19625). A coin
that is listed later has no rows before.
"""

from __future__ import annotations

from datetime import date

import dagster as dg

from crypto_assets.dates import DAY


def daily(start: date, last: date | None = None) -> dg.DailyPartitionsDefinition:
    """Return the calendar from a first day to the day in progress.

    The day in progress is included, so that ticks can fill it. Coverage does not count it.

    Args:
        start: the first day (UTC).
        last: the last day, where a demo's recordings end; None for a calendar that goes on.

    Returns:
        The partitions.
    """
    end = None if last is None else (last + DAY).isoformat()
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_date=end, timezone="UTC", end_offset=1)


def monthly(start: date, last: date | None = None) -> dg.MonthlyPartitionsDefinition:
    """Return the calendar of the months from that of a first day to the month in progress.

    Args:
        start: the first day (UTC).
        last: the last day, where a demo's recordings end; None for a calendar that goes on.

    Returns:
        The partitions; the key of one is the first day of its month.
    """
    end = None if last is None else (last + DAY).isoformat()
    return dg.MonthlyPartitionsDefinition(
        start_date=start.replace(day=1).isoformat(), end_date=end, timezone="UTC", end_offset=1
    )
