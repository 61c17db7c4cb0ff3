"""No look-ahead (rule 2) and chunking does not show (rule 3)."""

import random
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from crypto_assets.features.all_features import FEATURES, GROUPS
from crypto_assets.features.build import build_features
from crypto_assets.features.lookback import LOOKBACK_DAYS
from crypto_assets_tests.features.frames import DAY, DELAY, at, features, known_by, loaded, messy

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


@pytest.mark.parametrize("size", [1, 7])
def test_sixty_days_in_runs_of_any_size_and_order(size: int):
    """Late values, gaps and a listing in mid-day are in the inputs; every run loads its own look-back and no more."""
    first, last = START, START + 59 * DAY
    inputs = messy(23, first, 60, history=44, gaps=0.001, late=0.002)
    together = features(inputs, COINS, first, last)
    starts = list(range(0, 60, size))
    random.Random(size).shuffle(starts)
    parts = []
    for number in starts if size > 1 else starts[:20]:
        begin, end = first + number * DAY, min(first + (number + size - 1) * DAY, last)
        parts.append(features(loaded(inputs, begin, end), COINS, begin, end))
    mine = pl.concat(parts).sort("symbol", "ts")
    assert_frame_equal(
        mine, together.join(mine, on=["symbol", "ts"], how="semi").sort("symbol", "ts"), rel_tol=1e-9, abs_tol=0.0
    )


def test_a_few_columns_alone_are_those_of_the_whole_table(data, whole):
    columns = ["adx_14", "onchain_nupl", "market_cap_to_tvl", "news_count_change_7d", "beta_btc_7d", "hour_sin"]
    for name in columns:
        alone = build_features(tables=data, symbols=COINS, start=START, end=END, columns=[name])
        assert set(alone.columns) == {"symbol", "ts", "date", "available_at", "pit_quality", "source", name}
        assert_frame_equal(alone.select("symbol", "ts", name), whole.select("symbol", "ts", name), check_exact=True)


def test_no_column_repeats_another_and_none_is_constant(whole):
    """bb_middle is sma_20 by the books' definitions; every other pair differs somewhere."""
    values = {name: whole[name] for name in FEATURES}
    assert {name for name, series in values.items() if series.drop_nulls().n_unique() < 2} == set()
    seen: dict[str, list[str]] = {}
    for name, series in values.items():
        seen.setdefault(str(series.alias("x").to_list()), []).append(name)
    assert [names for names in seen.values() if len(names) > 1] == [["sma_20", "bb_middle"]]
