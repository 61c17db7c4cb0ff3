"""Price, market and technical columns against pandas: the benchmark's baseline is a second implementation of them."""

from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

from crypto_assets.features.all_features import FEATURES, GROUPS
from crypto_assets.features.build import build_features
from crypto_assets.features.pairs import rolling_paths
from crypto_assets_bench import _market, features_vs_pandas
from crypto_assets_tests.features.test_formulas import of_columns

DAYS, COINS = 90, 4
ONLY_OURS = {"max_drawdown_30d", "cci_20", "ultimate_oscillator", "bars_filled_7d"}  # TA-Lib or the reference has these


@pytest.fixture(scope="module")
def both():
    symbols = _market.SYMBOLS[:COINS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_market, "START", _market.END - timedelta(days=DAYS - 1))
        made = _market.tables(_market.START, _market.END, symbols)
        inputs = {t: f for t, f in made.items() if t in ("prices", "ohlc")}
        frame = features_vs_pandas._joined(inputs)
        theirs = pd.DataFrame(dict(features_vs_pandas._pandas(frame)))
        theirs = theirs[(frame["ts"] >= pd.Timestamp(_market.END - timedelta(days=1), tz="UTC")).to_numpy()]
        ours = build_features(tables=inputs, symbols=symbols, start=_market.END - timedelta(days=1), end=_market.END)
    return ours, theirs


def test_pandas_says_the_same(both: tuple[pl.DataFrame, pd.DataFrame]) -> None:
    ours, theirs = both
    assert ours.height == len(theirs) == COINS * 48
    for name in theirs.columns:
        mine, wanted = ours[name].to_numpy(), theirs[name].to_numpy()
        assert np.isfinite(mine).all(), name
        # pandas adds what enters and subtracts what leaves: it loses digits, relative to the column's size
        size = float(np.abs(wanted).max())
        assert mine == pytest.approx(wanted, rel=1e-7, abs=1e-7 * size), name


def test_few_columns_have_no_counterpart(both: tuple[pl.DataFrame, pd.DataFrame]) -> None:
    named = {feature.name for group in ("price", "market", "technical") for feature in GROUPS[group]}
    assert set(both[1].columns) <= set(FEATURES)
    missing = named - set(both[1].columns) - ONLY_OURS - of_columns().keys()
    alone = {
        name
        for name in missing
        if not name.startswith(("keltner", "price_usd", "market_cap_usd", "volume_24h_usd", "relative"))
    }
    assert not alone, (
        f"{', '.join(sorted(alone))}: nothing computes it a second time; write its formula in terms of other columns, or add "
        "it to crypto_assets_bench/features_vs_pandas.py"
    )


def test_the_deepest_fall_is_that_of_every_pair_in_the_window():
    rng = np.random.default_rng(3)
    values = np.exp(np.cumsum(rng.normal(0, 0.05, 300)))
    values[rng.random(300) < 0.1] = np.nan
    (path,) = rolling_paths(values[None], 50)
    got = path.fall[0] - 1.0
    for end in range(49, 300):
        window = values[end - 49 : end + 1]
        falls = [
            window[j] / window[i] - 1 for i in range(50) for j in range(i, 50) if np.isfinite(window[[i, j]]).all()
        ]
        assert got[end] == pytest.approx(min(falls), rel=1e-12)


def test_relative_returns_are_against_bitcoin(both: tuple[pl.DataFrame, pd.DataFrame]) -> None:
    ours = both[0]
    leader = ours.filter(pl.col("symbol") == "BTC").select("ts", btc_24h="return_24h", btc_7d="return_7d")
    beside = ours.join(leader, on="ts")
    for span in ("24h", "7d"):
        wanted = beside[f"return_{span}"] - beside[f"btc_{span}"]
        assert beside[f"relative_return_btc_{span}"].to_numpy() == pytest.approx(wanted.to_numpy(), abs=1e-15)
    bitcoin = beside.filter(pl.col("symbol") == "BTC")
    assert bitcoin["beta_btc_30d"].to_list() == pytest.approx([1.0] * bitcoin.height, rel=1e-12)
