"""Readings of macro series: made of what stood at their instant, and worked out once more by other means."""

from __future__ import annotations

import statistics
from datetime import date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from crypto_assets.catalog.business_days import is_business_day, next_business_day, published
from crypto_assets.tables.macro import MACRO_INDICATORS, MACRO_SERIES
from crypto_assets.transforms.macro import indicators, with_combined

UTC = timezone.utc
DAY = timedelta(days=1)
NOW = datetime(2024, 12, 31, tzinfo=UTC)


def row(series: str, observed: date, known: datetime, value: float | None, quality: str = "vintage") -> dict:
    return {"series": series, "observation_date": observed, "vintage_date": known.date(), "date": known.date(), "available_at": known,
            "source": "test", "value": value, "unit": "unit", "pit_quality": quality}  # fmt: skip


def frame(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=MACRO_SERIES.polars_schema)


def months(count: int) -> list[date]:
    return [date(2022 + n // 12, n % 12 + 1, 1) for n in range(count)]


def readings(vintages: pl.DataFrame, series: str, start: date, end: date, **releases: list[date]) -> list[dict]:
    calendar = {int(name[1:]): dates for name, dates in releases.items()}
    rows = MACRO_INDICATORS.validate(indicators(vintages, calendar, start, end, NOW))
    return rows.filter(pl.col("series") == series).sort("ts").to_dicts()


def test_a_day_begins_with_the_reading_in_force_and_a_publication_begins_a_new_one() -> None:
    jobs = [row("PAYEMS", m, datetime(m.year + m.month // 12, m.month % 12 + 1, 5, 13, 30, tzinfo=UTC), 100.0 + n * n)
            for n, m in enumerate(months(24))]  # fmt: skip
    day = date(2024, 1, 5)
    before, after = readings(frame(*jobs), "PAYEMS", day, day, r50=[day, date(2024, 2, 2)])
    assert (before["ts"], after["ts"]) == (datetime(2024, 1, 5, tzinfo=UTC), datetime(2024, 1, 5, 13, 30, tzinfo=UTC))
    assert (before["level"], after["level"]) == (100.0 + 22**2, 100.0 + 23**2)
    assert [after[f"change_{n}"] for n in (1, 5, 20)] == [23**2 - (23 - n) ** 2 for n in (1, 5, 20)]
    levels = [100.0 + n * n for n in range(4, 24)]
    assert after["zscore_20"] == pytest.approx((levels[-1] - statistics.mean(levels)) / statistics.stdev(levels))
    assert after["surprise"] == 23**2 - 22**2
    assert (before["next_release_at"], after["next_release_at"]) == (
        after["ts"],
        datetime(2024, 2, 2, 13, 30, tzinfo=UTC),
    )
    assert before["released_at"] == datetime(2023, 12, 5, 13, 30, tzinfo=UTC)
    assert before["observation_date"] == date(2023, 11, 1)


def test_a_base_year_that_changes_is_no_surprise_and_changes_keep_to_one_vintage() -> None:
    first = [row("GDPC1", date(2021 + q // 4, 3 * (q % 4) + 1, 1), datetime(2021 + q // 4, 3 * (q % 4) + 3, 29, 12, 30, tzinfo=UTC), 100.0 + q)
             for q in range(10)]  # fmt: skip
    rebased = datetime(2023, 7, 27, 12, 30, tzinfo=UTC)
    again = [row("GDPC1", one["observation_date"], rebased, one["value"] * 1.08) for one in first]
    again[-1]["value"] *= 1.01  # and this one was revised
    (_, after) = readings(frame(*first, *again), "GDPC1", rebased.date(), rebased.date())
    assert after["level"] == pytest.approx(109.0 * 1.08 * 1.01)
    assert after["change_1"] == pytest.approx(109.0 * 1.01 / 108.0 - 1)
    assert after["surprise"] == pytest.approx(0.01), "the restatement of the quarters before is taken off"


def test_a_value_that_was_withdrawn_leaves_the_one_before_and_backfilled_ones_do_not_count() -> None:
    rows = [
        row("UNRATE", date(2024, 3, 1), datetime(2024, 4, 5, 12, 30, tzinfo=UTC), 3.8),
        row("UNRATE", date(2024, 4, 1), datetime(2024, 5, 3, 12, 30, tzinfo=UTC), 3.9),
        row("UNRATE", date(2024, 4, 1), datetime(2024, 5, 10, 12, 30, tzinfo=UTC), None),
        row("UNRATE", date(2020, 1, 1), datetime(2024, 5, 1, 12, 30, tzinfo=UTC), 9.9, "backfilled"),
    ]
    found = {
        r["ts"].date(): (r["level"], r["change_1"])
        for r in readings(frame(*rows), "UNRATE", date(2024, 5, 1), date(2024, 5, 12))
    }
    assert found[date(2024, 5, 2)] == (3.8, None)
    assert found[date(2024, 5, 9)] == (3.9, pytest.approx(0.1))
    assert found[date(2024, 5, 12)] == (3.8, None)


def test_a_reading_serves_until_the_next_one_is_long_overdue() -> None:
    rows = frame(row("VIXCLS", date(2024, 5, 1), datetime(2024, 5, 2, tzinfo=UTC), 14.0, "final"))
    days = [r["ts"].date() for r in readings(rows, "VIXCLS", date(2024, 5, 1), date(2024, 5, 20))]
    assert days == [date(2024, 5, 2) + n * DAY for n in range(8)]


def test_a_quarter_is_one_observation_by_whichever_month_it_is_dated() -> None:
    rows = [row("GDP", date(2024, 1, 1), datetime(2024, 4, 25, 12, 30, tzinfo=UTC), 28_000.0),
            row("GDP", date(2024, 3, 1), datetime(2024, 5, 30, 12, 30, tzinfo=UTC), 28_100.0)]  # fmt: skip
    (*_, last) = readings(frame(*rows), "GDP", date(2024, 5, 30), date(2024, 5, 30))
    assert (last["level"], last["change_1"]) == (28_100.0, None)


def test_net_liquidity_is_in_millions_and_known_once_each_part_is() -> None:
    wednesday = date(2024, 6, 5)
    rows = [
        row("WALCL", wednesday, datetime(2024, 6, 6, 20, 30, tzinfo=UTC), 7_256_000.0),
        row("WTREGEN", wednesday, datetime(2024, 6, 6, 20, 30, tzinfo=UTC), 705_000.0),
        row("RRPONTSYD", wednesday, datetime(2024, 6, 7, tzinfo=UTC), 375.5),
        row("RRPONTSYD", wednesday + DAY, datetime(2024, 6, 8, tzinfo=UTC), 400.0),
    ]
    made = with_combined(frame(*rows)).filter(pl.col("series") == "NETLIQUIDITY")
    assert made.select("observation_date", "available_at", "value", "unit").rows() == [
        (wednesday, datetime(2024, 6, 7, tzinfo=UTC), 7_256_000.0 - 705_000.0 - 375_500.0, "millions of USD")
    ]


def test_a_combined_series_is_the_same_whenever_it_is_made_and_has_one_row_of_a_day() -> None:
    """A part known in the evening and one of the same day of publication known at midnight are two days of ours."""
    wednesday, thursday = date(2024, 6, 5), date(2024, 6, 6)
    evening, midnight = datetime(2024, 6, 6, 20, 30, tzinfo=UTC), datetime(2024, 6, 7, tzinfo=UTC)
    rows = [
        row("RRPONTSYD", wednesday - DAY, datetime(2024, 6, 5, tzinfo=UTC), 300.0),
        row("WTREGEN", wednesday, evening - timedelta(hours=1), 705_000.0),
        row("WALCL", wednesday, evening, 7_256_000.0),
        {**row("RRPONTSYD", wednesday, midnight, 375.5), "vintage_date": thursday},
        row("WTREGEN", wednesday, midnight + timedelta(hours=3), 706_000.0),
    ]

    def made(until: datetime) -> list[Any]:
        known = frame(*(one for one in rows if one["available_at"] < until))
        found = with_combined(known).filter(pl.col("series") == "NETLIQUIDITY")
        return (
            found.select("observation_date", "vintage_date", "date", "available_at", "value")
            .sort("available_at")
            .rows()
        )

    whole = made(midnight + DAY)
    assert [(one[1], one[2]) for one in whole] == [(thursday, thursday), (thursday + DAY, thursday + DAY)]
    assert made(midnight) == whole[:1], "the run of one day"
    assert len({one[:2] for one in whole}) == len(whole)


def test_days_on_which_banks_are_open() -> None:
    closed = [
        date(2024, 5, 27),
        date(2024, 3, 29),
        date(2023, 1, 2),
        date(2024, 11, 28),
        date(2024, 6, 19),
        date(2024, 6, 8),
    ]
    assert (
        not any(map(is_business_day, closed))
        and is_business_day(date(2021, 6, 18))
        and is_business_day(date(2022, 12, 30))
    )
    assert next_business_day(date(2024, 3, 28)) == date(2024, 4, 1)
    assert published(date(2024, 1, 5), None) == datetime(2024, 1, 6, tzinfo=UTC)
