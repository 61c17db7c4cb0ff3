"""A formula that is made of other columns of its row is computed once more, from the text of the definition."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from crypto_assets.features.definitions import FEATURES
from crypto_assets_tests.features.frames import features, messy

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
