"""One daily UTC calendar, and ranges cut exactly."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.errors import UsageError
from crypto_assets.partitions import DAY, check_range, chunks, daily, days, midnight, parse_day, runs_of, today

Day = st.dates(date(2015, 1, 1), date(2030, 1, 1))


@given(Day, st.integers(0, 400), st.integers(1, 100))
def test_chunks_cover_the_range_once_in_order(start: date, length: int, size: int) -> None:
    end = start + DAY * length
    found = list(chunks(start, end, size))
    assert [day for first, last in found for day in days(first, last)] == days(start, end)
    assert all((last - first).days < size for first, last in found)
    assert len(found) == -(-(length + 1) // size), "no more than needed"


@given(st.sets(Day, max_size=30))
def test_runs_are_maximal(found: set[date]) -> None:
    runs = runs_of(found)
    assert {day for first, last in runs for day in days(first, last)} == found
    assert all(later[0] - earlier[1] > DAY for earlier, later in pairwise(runs))


def test_the_calendar_holds_the_day_in_progress() -> None:
    now = datetime(2024, 3, 5, 0, 1, tzinfo=timezone.utc)
    keys = daily(date(2024, 3, 1)).get_partition_keys(current_time=now)
    assert list(keys) == [f"2024-03-0{n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (date(2024, 1, 2), date(2024, 1, 1), "swap"),
        (date(2019, 1, 1), date(2024, 1, 1), "first partition"),
        (date(2024, 1, 1), today() + DAY * 2, "future"),
    ],
)
def test_ranges_that_make_no_sense(start: date, end: date, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_range(start, end, date(2020, 1, 1))


@pytest.mark.parametrize("text", ["2021-13-01", "tomorrow", "", "2021-02-29", "1.2.2021"])
def test_dates_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--start"):
        parse_day(text, "--start")


def test_a_day_opens_at_midnight_utc() -> None:
    assert midnight(date(2024, 3, 31)) == datetime(2024, 3, 31, tzinfo=timezone.utc)
    assert midnight(date(2024, 4, 1)) - midnight(date(2024, 3, 31)) == timedelta(hours=24), "no clock is changed"
