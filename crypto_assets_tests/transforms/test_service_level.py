"""Service level from observations: unknown is not fresh, the budget is what the target leaves, burning is noticed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.transforms.service_level import (
    ALL,
    BURN_LONG,
    BURN_SHORT,
    SLOT,
    burn,
    service_level,
    slot_of,
    unobserved,
)

NOW = datetime(2024, 5, 4, 12, 8, tzinfo=timezone.utc)
LAST = datetime(2024, 5, 4, 12, 0, tzinfo=timezone.utc)


def seen(asset: str, states: list[bool | None]) -> pl.DataFrame:
    """Observations of the newest slots, oldest first; None: nobody looked."""
    rows = [(asset, LAST - SLOT * (len(states) - 1 - n), state) for n, state in enumerate(states) if state is not None]
    kinds = {"asset": pl.String, "ts": pl.Datetime("us", "UTC"), "fresh": pl.Boolean}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def level(frame: pl.DataFrame, asset: str = "prices", window: str = "24h", now: datetime = NOW) -> dict[str, object]:
    return service_level(frame, now).row(
        by_predicate=(pl.col("asset") == asset) & (pl.col("window") == window), named=True
    )


def test_a_day_by_hand() -> None:
    """96 slots: 94 fresh, one late, one that nobody saw. Allowed: 0.96 slots; spent: 2."""
    row = level(seen("prices", [True] * 50 + [False, None] + [True] * 44))
    assert (row["slots"], row["fresh_slots"], row["unobserved_slots"]) == (96, 94, 1)
    assert row["share_fresh"] == pytest.approx(94 / 96)
    assert row["error_budget_left"] == pytest.approx(1 - 2 / 0.96)


def test_slots_before_the_first_observation_do_not_count() -> None:
    row = level(seen("prices", [True] * 8), window="30d")
    assert (row["slots"], row["share_fresh"], row["error_budget_left"]) == (8, 1.0, 1.0)


def test_the_slot_in_progress_counts_once_it_was_observed() -> None:
    frame = seen("prices", [True] * 8)
    assert level(frame)["slots"] == 8
    assert level(frame, now=NOW + SLOT)["slots"] == 8, "12:15 may still be observed"
    later = level(frame, now=NOW + SLOT * 2)
    assert (later["slots"], later["unobserved_slots"]) == (9, 1)


def test_all_is_the_sum() -> None:
    both = pl.concat([seen("prices", [True] * 4), seen("ohlc", [True, False, False, True])])
    assert level(both, ALL)["share_fresh"] == 6 / 8


@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=200).filter(lambda s: s[0] is not None))
def test_slots_are_fresh_late_or_unobserved(states: list[bool | None]) -> None:
    for window, length in (("24h", 96), ("7d", 672)):
        row = level(seen("prices", states), window=window)
        part = states[-length:]
        last = part[-1] is not None
        counted = part if last else part[:-1]  # the slot in progress, not observed yet
        if not last and len(states) > length:
            counted = states[-length - 1 : -1]
        assert row["slots"] == len(counted)
        assert row["fresh_slots"] == sum(s is True for s in counted)
        assert row["unobserved_slots"] == sum(s is None for s in counted)


@pytest.mark.parametrize(
    ("states", "burning"),
    [
        ([True] * 24, False),
        ([True] * 23 + [False], False),  # one slot is a hiccup
        ([True] * 22 + [False, False], True),
        ([True] * 10 + [False] + [True] * 12 + [False], True),
        ([False] * 12 + [True] * 12, False),  # over: an hour has passed without one
    ],
)
def test_burning(states: list[bool], burning: bool) -> None:
    row = burn(seen("prices", states), NOW).row(0, named=True)
    assert (row["short"] >= BURN_SHORT and row["long"] >= BURN_LONG) is burning


def test_nobody_looked() -> None:
    assert unobserved(seen("prices", [True] * 8), NOW) == 0
    assert unobserved(seen("prices", [True, True, None, None, None, None]), NOW) == 3, (
        "the slot in progress may still be"
    )
    assert unobserved(seen("prices", [True] * 8), NOW + timedelta(days=1)) == 4


def test_slots_are_quarters_of_an_hour() -> None:
    assert slot_of(datetime(2024, 5, 4, 12, 59, 59, 999, tzinfo=timezone.utc)) == LAST + timedelta(minutes=45)
