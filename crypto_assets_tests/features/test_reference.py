"""Against the literal definitions, on data with everything that goes wrong: gaps, late rows, listings, nulls."""

from datetime import date

import numpy as np
import pytest

from crypto_assets.features.all_features import FEATURE_COLUMNS
from crypto_assets_tests.features import reference
from crypto_assets_tests.features.frames import features, messy

START, END = date(2022, 1, 1), date(2022, 1, 3)
PRICE_SIZED = {"macd_line", "macd_signal", "macd_histogram"}  # differences of prices: judged at the price's scale


@pytest.mark.parametrize(("seed", "gaps", "late"), [(1, 0.001, 0.0), (2, 0.02, 0.05), (3, 0.0, 0.5), (4, 0.08, 0.02)])
def test_every_column_follows_its_definition(seed: int, gaps: float, late: float):
    data = messy(seed, START, 3, gaps=gaps, late=late)
    got = features(data, ["NEW", "BTC", "SHIB"], START, END)
    rng = np.random.default_rng(seed)
    for index in rng.choice(got.height, size=25, replace=False):
        mine = got.row(int(index), named=True)
        theirs = reference.row(data, mine["symbol"], mine["ts"])
        scale = mine["sma_20"] or 1.0
        for name, wanted in theirs.items():
            value = mine[name]
            label = f"{name} of {mine['symbol']} at {mine['ts']}"
            assert (value is None) == (wanted is None), label
            if wanted is not None:
                tolerance = 1e-13 * scale if name in PRICE_SIZED else 1e-15
                assert value == pytest.approx(wanted, rel=1e-9, abs=tolerance), label


def test_the_messy_data_reaches_every_column():
    data = messy(1, START, 3, gaps=0.0, late=0.0)
    got = features(data, ["BTC"], START, END)
    empty = [column.name for column in FEATURE_COLUMNS if got[column.name].null_count() == got.height]
    assert empty == []
