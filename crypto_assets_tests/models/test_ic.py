"""Information coefficients against SciPy and against sums written out."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crypto_assets.models import ic

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def panel(hours: int, coins: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    ts = [BEGIN + timedelta(hours=hour) for hour in range(hours) for _ in range(coins)]
    score = rng.integers(0, 6, hours * coins).astype(float)  # many ties
    outcome = rng.normal(size=hours * coins) + score / 10
    outcome[rng.random(hours * coins) < 0.1] = math.nan
    return pl.DataFrame({"ts": ts, "score": score, "outcome": outcome})


@given(st.integers(0, 1000))
def test_coefficients_are_those_of_scipy(seed: int) -> None:
    rows = panel(4, 12, seed)
    for hour in ic.hourly_ic(rows).iter_rows(named=True):
        known = rows.filter((pl.col("ts") == hour["ts"]) & pl.col("outcome").is_not_nan())
        assert hour["coins"] == known.height
        if hour["rank_ic"] is None:
            continue
        score, outcome = known["score"].to_numpy(), known["outcome"].to_numpy()
        assert hour["ic"] == pytest.approx(stats.pearsonr(score, outcome)[0], rel=1e-9, abs=1e-12)
        assert hour["rank_ic"] == pytest.approx(stats.spearmanr(score, outcome)[0], rel=1e-9, abs=1e-12)


def test_hours_of_few_coins_or_equal_scores_have_no_coefficient() -> None:
    rows = pl.DataFrame(
        {"ts": [1] * 4 + [2] * 6 + [3] * 6, "score": [1.0, 2, 3, 4] + [7.0] * 6 + [1.0, 2, 3, 4, 5, 6]}
    ).with_columns(pl.int_range(16).cast(pl.Float64).alias("outcome"))
    found = ic.hourly_ic(rows)
    assert found["coins"].to_list() == [4, 6, 6]
    assert found["rank_ic"].to_list() == [None, None, 1.0]


@pytest.mark.parametrize("lags", [0, 1, 23])
def test_newey_west_is_the_sum_written_out(lags: int) -> None:
    values = np.random.default_rng(3).normal(size=200).cumsum() / 10
    mean, count = values.mean(), values.size
    total = sum((value - mean) ** 2 for value in values) / count
    for lag in range(1, lags + 1):
        product = sum((values[t] - mean) * (values[t - lag] - mean) for t in range(lag, count)) / count
        total += 2 * (1 - lag / (lags + 1)) * product
    assert ic.newey_west_error(values, lags) == pytest.approx(math.sqrt(total / count), rel=1e-12)


def test_a_summary_counts_samples_that_do_not_overlap() -> None:
    values = np.array([0.1, 0.3, math.nan, 0.2, 0.4, 0.0, 0.2, 0.1, 0.5])
    found = ic.summary(values, 2, each=3)
    assert found["hours"] == 8
    assert found["samples"] == 3
    assert found["mean"] == pytest.approx(np.nanmean(values))
    assert found["t_non_overlapping"] == pytest.approx(stats.ttest_1samp([0.1, 0.2, 0.2], 0).statistic)
    assert found["icir"] == pytest.approx(np.nanmean(values) / np.nanstd(values, ddof=1))


def test_quantiles_share_the_coins_of_an_hour_and_order_their_outcomes() -> None:
    rows = pl.DataFrame({"ts": [1] * 10 + [2] * 3, "score": [*range(10), 1, 2, 3]}).with_columns(
        pl.col("score").alias("outcome")
    )
    found = ic.quantile_spread(rows, 5)
    assert found["ts"].unique().to_list() == [1]  # three coins are fewer than five quantiles
    assert found["coins"].to_list() == [2] * 5
    assert found["outcome"].to_list() == [0.5, 2.5, 4.5, 6.5, 8.5]
