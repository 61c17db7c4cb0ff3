"""Against TA-Lib on long random walks, after every seed has faded; and the rolling kernels against numpy."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from crypto_assets.features.moments import rolling_moments
from crypto_assets.features.windows import population_std, rolling_sums
from crypto_assets_tests.features.frames import DAY, at, bar, features, inputs, walk

START = date(2022, 1, 1)
HISTORY = 60


@pytest.mark.parametrize("level", [6e4, 1e-5])
def test_indicators_equal_talib(level: float):
    talib = pytest.importorskip("talib", reason="TA-Lib is a development extra")
    rng = np.random.default_rng(5)
    first, count = START - HISTORY * DAY, (HISTORY + 3) * 24
    rows = [
        bar("X", at(first, n), float(c), spread=float(rng.uniform(0.001, 0.02)))
        for n, c in enumerate(walk(rng, count, 1.0))
    ]  # TA-Lib treats ranges below 1e-14 as zero: computed at level 1, scaled for ours
    high, low, close = (np.array([row[name] for row in rows]) for name in ("high", "low", "close"))
    for row in rows:
        row |= {name: row[name] * level for name in ("open", "high", "low", "close")}
    got = features(inputs(ohlc=rows), ["X"], START, START + 2 * DAY)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    k, d = talib.STOCHF(high, low, close, 14, 3)
    for name, wanted, scale in (
        ("rsi_14", talib.RSI(close, 14), 1), ("atr_14", talib.ATR(high, low, close, 14), level),
        ("bb_upper", upper, level), ("bb_middle", middle, level), ("bb_lower", lower, level),
        ("sma_50", talib.SMA(close, 50), level), ("ema_12", talib.EMA(close, 12), level),
        ("macd_line", line, level), ("macd_signal", signal, level), ("macd_histogram", histogram, level),
        ("stoch_k", k, 1), ("stoch_d", d, 1),
    ):  # fmt: skip
        mine = got[name].to_numpy() / scale
        assert mine == pytest.approx(wanted[HISTORY * 24 - 1 :][: len(mine)], rel=1e-9, abs=1e-11), name


@pytest.mark.parametrize("level", [6e4, 1e-5])
def test_windows_equal_two_passes_after_a_crash_and_in_a_near_flat_market(level: float):
    rng = np.random.default_rng(6)
    values = walk(rng, 3000, level)
    values[1000:] *= 1e-4
    values[2000:2100] = values[2000] * (1 + 1e-7 * rng.normal(size=100))
    logs = np.diff(np.log(values))
    for size, data in ((20, values), (24, logs), (168, logs)):
        whole = np.lib.stride_tricks.sliding_window_view(data, size)
        (moments,) = rolling_moments(data[None], size)
        (total,) = rolling_sums(data[None], size)
        assert moments.mean[0, size - 1 :] == pytest.approx(whole.mean(axis=1), rel=1e-9, abs=1e-15 * level)
        assert total[0, size - 1 :] / size == pytest.approx(whole.mean(axis=1), rel=1e-9, abs=1e-15 * level)
        std = population_std(data[None], moments.mean, size) if data is values else moments.std(0, size)
        assert std[0, size - 1 :] == pytest.approx(whole.std(axis=1), rel=1e-9)


def test_a_flat_window_has_no_deviation_whatever_its_value():
    values = np.array([[0.1, 7e4, *[0.1 + 0.2] * 30]])
    (moments,) = rolling_moments(values, 20)
    assert population_std(values, moments.mean, 20)[0, -10:].tolist() == [0.0] * 10
    assert moments.std(1, 20)[0, -10:].tolist() == [0.0] * 10


def test_the_window_is_all_that_counts():
    values = walk(np.random.default_rng(7), 2000, 1.0)[None]
    for begin in (1, 17, 1000):
        for size in (20, 24, 168):
            whole, part = (rolling_moments(v, size)[0].std(1, size) for v in (values, values[:, begin:]))
            assert np.array_equal(whole[:, begin + size :], part[:, size:])


def test_frames_of_strings_in_categories_are_accepted():
    data = inputs(ohlc=[bar("X", at(START, n - 30), 1.0) for n in range(40)])
    data["ohlc"] = data["ohlc"].with_columns(pl.col("symbol").cast(pl.Categorical))
    assert features(data, ["X"], START, START).height == 11
