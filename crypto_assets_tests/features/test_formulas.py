"""What a definition says in words that a machine reads: formulas of other columns, and the bars before the first value."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from crypto_assets.features.all_features import FEATURES, GROUPS
from crypto_assets.features.technical import technical_features
from crypto_assets_tests.features.frames import features, messy
from crypto_assets_tests.forgotten import nothing_forgotten

START, END = date(2022, 1, 1), date(2022, 1, 2)


def of_columns() -> dict[str, pl.Expr]:
    """Feature -> its formula, for those that name two other features or more and nothing else but numbers."""
    found = {}
    for name, feature in FEATURES.items():
        try:
            formula = pl.sql_expr(feature.formula.rstrip("."))
        except pl.exceptions.PolarsError:
            continue  # words
        named = set(formula.meta.root_names())
        if len(named) > 1 and named <= FEATURES.keys() - {name}:
            found[name] = formula
    return found


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return features(messy(1, START, 2), ["BTC", "SHIB"], START, END)


def test_a_value_is_what_its_formula_says(rows: pl.DataFrame) -> None:
    formulas = of_columns()
    assert {"macd_line", "ppo_12_26", "bb_width"} <= formulas.keys(), "formulas were found"
    for name, formula in formulas.items():
        scale = rows["sma_20"].max() if FEATURES[name].unit == "quote" else 1.0
        both = rows.select(pl.col("symbol"), mine=pl.col(name), wanted=formula).drop_nulls()
        assert not both.is_empty(), name
        assert both["mine"].to_list() == pytest.approx(both["wanted"].to_list(), rel=1e-9, abs=1e-13 * scale), (
            f"{name} is not {FEATURES[name].formula} Mend the formula in crypto_assets/features/*_columns.py, or the "
            "arithmetic in the file of the same family beside it"
        )


def test_the_first_value_of_an_indicator_comes_when_its_definition_says() -> None:
    close = 100.0 + np.random.default_rng(1).normal(0, 1, (1, 1200)).cumsum(axis=1)
    bars = {"open": close, "high": close + 0.5, "low": close - 0.7, "close": close + 0.1, "volume": close}
    first = {name: int(np.argmax(~np.isnan(array[0]))) for name, array in technical_features(bars).items()}
    nothing_forgotten(
        f"{feature.name}: its first value needs {first[feature.name] + 1} bars, and its definition says "
        f"{feature.first_hours + 1}; mend its bars, or its warmup= where it rests on a recursive mean, in "
        "crypto_assets/features/technical_columns.py"
        for feature in GROUPS["technical"]
        if first.get(feature.name, feature.first_hours) != feature.first_hours
    )
