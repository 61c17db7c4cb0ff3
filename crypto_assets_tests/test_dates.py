"""One daily UTC calendar, and ranges cut exactly."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.assets.calendar import daily
from crypto_assets.dates import DAY, check_range, chunks, days, midnight, parse_day, runs_of, today, yesterday
from crypto_assets.errors import UsageError

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


MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(timezone.utc))


@given(Day, MOMENTS, st.integers(0, 400))
def test_a_calendar_that_ends_has_no_day_after_its_last(start: date, now: datetime, length: int) -> None:
    last = start + DAY * length
    keys = daily(start, last).get_partition_keys(current_time=now)
    assert list(keys) == [str(day) for day in days(start, min(last, now.date()))]
    assert daily(start, last) != daily(start)


@pytest.mark.parametrize("key", ["2024-02-30", "20240201", "2024-W05-4", "2024-01-01T00", "", "today"])
def test_what_is_no_day_is_on_no_calendar(key: str) -> None:
    calendar = daily(date(2024, 1, 1))
    with pytest.raises(ValueError):
        calendar.time_window_for_partition_key(key)
    assert key not in calendar.subset_with_partition_keys(["2024-01-02"])


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


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2020, 1, 1), date(2020, 1, 1)),
        (date(2020, 1, 1), today()),
        (today(), today()),
        (yesterday(), today()),
        (date(2023, 12, 31), date(2024, 1, 1)),
    ],
)
def test_ranges_up_to_both_borders_are_legal(start: date, end: date) -> None:
    check_range(start, end, date(2020, 1, 1))


@pytest.mark.parametrize(
    ("start", "end"),
    [(date(2019, 12, 31), date(2020, 1, 1)), (date(2020, 1, 2), date(2020, 1, 1)), (today(), today() + DAY * 2)],
)
def test_one_day_too_far_is_one_sentence_with_its_day(start: date, end: date) -> None:
    with pytest.raises(UsageError) as caught:
        check_range(start, end, date(2020, 1, 1))
    assert "\n" not in str(caught.value)
    assert str(start) in str(caught.value) or str(end) in str(caught.value)
    assert "--start" in str(caught.value) or "--end" in str(caught.value)


def test_the_calendar_begins_where_it_is_told_and_skips_no_day() -> None:
    now = datetime(2024, 4, 2, 12, tzinfo=timezone.utc)
    keys = daily(date(2024, 2, 27)).get_partition_keys(current_time=now)
    assert list(keys) == [str(day) for day in days(date(2024, 2, 27), date(2024, 4, 2))]
    assert "2024-02-29" in keys


@given(Day, st.integers(0, 800))
def test_days_are_consecutive_and_both_ends_are_in(start: date, length: int) -> None:
    found = days(start, start + DAY * length)
    assert len(found) == length + 1
    assert (found[0], found[-1]) == (start, start + DAY * length)
    assert all(later - earlier == DAY for earlier, later in pairwise(found))


def test_a_range_that_ends_before_it_starts_holds_no_day() -> None:
    late, early = date(2024, 1, 2), date(2024, 1, 1)
    assert days(late, early) == []
    assert list(chunks(late, early, 7)) == []
    assert runs_of([]) == []


def test_dates_are_read_with_blanks_around_them() -> None:
    assert parse_day(" 2024-02-29\n", "--end") == date(2024, 2, 29)


@pytest.mark.parametrize("text", ["2021-13-01", "tomorrow", "", "2021-02-29", "1.2.2021"])
def test_dates_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--start"):
        parse_day(text, "--start")


def test_a_day_opens_at_midnight_utc() -> None:
    assert midnight(date(2024, 3, 31)) == datetime(2024, 3, 31, tzinfo=timezone.utc)
    assert midnight(date(2024, 4, 1)) - midnight(date(2024, 3, 31)) == timedelta(hours=24), "no clock is changed"
