"""No look-ahead (rule 2) and chunking does not show (rule 3)."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crypto_assets.feature_columns import GROUPS
from crypto_assets.transforms.features import LOOKBACK_DAYS
from crypto_assets_tests.transforms.features.frames import DAY, DELAY, at, features, known_by, loaded, messy

START, DAYS = date(2022, 1, 1), 5
END = START + (DAYS - 1) * DAY
COINS = ["BTC", "NEW", "SHIB"]


@pytest.fixture(scope="module")
def data():
    return messy(11, START, DAYS, history=50, gaps=0.003, late=0.03)


@pytest.fixture(scope="module")
def whole(data):
    return features(data, COINS, START, END)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minutes=st.integers(0, DAYS * 24 * 60))
def test_what_became_known_later_changes_nothing(data, whole, minutes: int):
    instant = at(START) + timedelta(minutes=minutes)
    then = features(known_by(data, instant), COINS, START, END).filter(pl.col("available_at") <= instant)
    now = whole.filter(pl.col("available_at") <= instant).join(then, on=["symbol", "ts"], how="semi")
    assert then.height == now.height
    assert_frame_equal(then, now, rel_tol=1e-9, abs_tol=0.0)


def test_a_row_only_exists_later_because_its_inputs_do(data, whole):
    """The rows missing after truncation are exactly those whose price and bar both came late: all their values null."""
    instant = at(END)
    then = features(known_by(data, instant), COINS, START, END)
    lost = whole.filter(pl.col("available_at") <= instant).join(then, on=["symbol", "ts"], how="anti")
    assert lost["price_usd"].null_count() == lost.height
    assert lost["sma_20"].null_count() == lost.height


@pytest.mark.parametrize("size", [1, 2])
def test_days_alone_equal_days_together(data, whole, size: int):
    parts = []
    for number in range(0, DAYS, size):
        first, last = START + number * DAY, min(START + (number + size - 1) * DAY, END)
        parts.append(features(loaded(data, first, last), COINS, first, last))
    assert_frame_equal(pl.concat(parts).sort("symbol", "ts"), whole, check_exact=True)


def test_more_history_than_the_look_back_changes_nothing(data, whole):
    assert max(LOOKBACK_DAYS.values()) < 50
    assert_frame_equal(features(loaded(data, START, END), COINS, START, END), whole, check_exact=True)


@pytest.mark.parametrize("table", sorted(LOOKBACK_DAYS))
def test_each_look_back_is_long_enough_on_its_own(data, whole, table: str):
    cut = {**data, table: loaded(data, START, END)[table]}
    assert_frame_equal(features(cut, COINS, START, END), whole, check_exact=True)


def test_coins_do_not_see_each_other_and_order_does_not_matter(data, whole):
    shuffled = {name: frame.sample(fraction=1.0, shuffle=True, seed=3) for name, frame in data.items()}
    assert_frame_equal(features(shuffled, COINS[::-1], START, END), whole, check_exact=True)
    beside = [feature.name for feature in GROUPS["market"]]  # these compare coins: ranks, shares, BTC
    alone = features(data, ["NEW"], START, END).drop(beside)
    assert_frame_equal(alone, whole.filter(pl.col("symbol") == "NEW").drop(beside), check_exact=True)


def test_poisoned_future_does_not_leak(data, whole):
    """Rows that become known after the range's last decision may say anything."""
    edge = at(END, 23) + DELAY
    poisoned = {
        name: frame.with_columns(
            pl.when(pl.col("available_at") > edge).then(pl.lit(12345.0)).otherwise(pl.col(column)).alias(column)
            for column, dtype in frame.schema.items()
            if dtype == pl.Float64
        )
        for name, frame in data.items()
        if name != "market_sentiment"
    }
    assert_frame_equal(features({**data, **poisoned}, COINS, START, END), whole, check_exact=True)
