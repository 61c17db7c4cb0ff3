"""The market's state beside pandas, and that it rests on its own hour only."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crypto_assets.features.all_features import FEATURES
from crypto_assets.models.market_state import SOURCES, columns_of, with_state


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Make 40 hours of 9 coins, with values that are unknown, and an hour without any."""
    rng = np.random.default_rng(2)
    hours, coins = 40, 9
    ts = np.repeat(np.arange(hours), coins)
    columns = {}
    for number, name in enumerate(columns_of(SOURCES)):
        values = rng.normal(size=ts.size)
        values[rng.random(ts.size) < 0.2] = np.nan
        values[ts == 7] = np.nan
        columns[name] = pl.Series(values, nan_to_null=number % 2 == 0)
    return pl.DataFrame({"ts": ts, "symbol": np.tile(np.arange(coins), hours), **columns})


def test_medians_spreads_and_breadth_are_those_of_pandas(rows: pl.DataFrame) -> None:
    found = with_state(rows, ["hour_sin", *SOURCES])
    assert set(found.columns) - set(rows.columns) == set(SOURCES)
    grouped = rows.to_pandas().groupby("ts")
    for name, source in SOURCES.items():
        of_hour = grouped[source]
        expected = {
            "market_median": of_hour.median(),
            "market_spread": of_hour.quantile(0.75) - of_hour.quantile(0.25),
            "market_rising": of_hour.apply(lambda values: (values.dropna() > 0).mean()),
        }[name[:13]]
        by_hour = found.group_by("ts", maintain_order=True).agg(pl.col(name).unique()).sort("ts")
        assert by_hour[name].list.len().max() == 1  # all coins of an hour share it
        here = by_hour[name].list.first().cast(pl.Float64).to_numpy()
        np.testing.assert_allclose(here, expected.to_numpy(), rtol=1e-12, atol=1e-15, err_msg=name)
        assert np.isnan(here[7])


def test_other_hours_and_the_order_of_rows_change_no_bit(rows: pl.DataFrame) -> None:
    whole = with_state(rows, SOURCES)
    mixed = with_state(rows.sample(fraction=1, shuffle=True, seed=3), SOURCES).sort("ts", "symbol")
    assert mixed.equals(whole)
    assert with_state(rows.filter(pl.col("ts") == 11), SOURCES).equals(whole.filter(pl.col("ts") == 11))


def test_each_is_made_of_a_column_that_keeps_its_range() -> None:
    assert set(SOURCES.values()) <= set(FEATURES) and not set(SOURCES) & set(FEATURES)
    assert {FEATURES[name].unit for name in SOURCES.values()} <= {"fraction", "per hour", "ratio", "0 to 100"}
    assert columns_of(["rsi_14", "market_median_rsi_14", "market_rising_24h"]) == ["rsi_14", "return_24h"]
