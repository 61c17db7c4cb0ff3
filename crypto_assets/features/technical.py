"""Averages, momentum and bands of consecutive hourly bars from ``ohlc``, in the coin's quote currency.

A column is the hour mark at which the bar closed. Short gaps count as flat bars (``gaps.py``). A longer gap makes a
windowed indicator unknown until its window is complete again. Recursive indicators restart with the first bar after it,
and stay unknown for their warm-up. Definitions are in ``features/technical_columns.py``; ranges and flows are in
``ranges.py`` and ``flows.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crypto_assets.features import technical_columns as is_
from crypto_assets.features.feature import WILDER_ALPHA, ema_alpha, warmup_bars
from crypto_assets.features.flat_bars import fill_gaps, filled_in_week
from crypto_assets.features.flows import flow_features
from crypto_assets.features.grid import Arrays, Floats, Ints
from crypto_assets.features.ranges import range_features
from crypto_assets.features.ties import rose
from crypto_assets.features.windows import (
    after,
    earlier,
    exponential_mean,
    exponential_means,
    population_std,
    ratio,
    rolling_counts,
    rolling_extremes,
    rolling_mean,
    rolling_sums,
    run_position,
)

BAR_COLUMNS = ("open", "high", "low", "close", "volume")


def technical_features(given: Mapping[str, Floats]) -> Arrays:
    """Compute all columns of the group.

    Args:
        given: open, high, low, close (quote) and volume (base units; NaN: unknown); coins x hours.

    Returns:
        Column -> coins x hours.
    """
    bars, flat = fill_gaps(given)
    position = run_position(~np.isnan(bars["close"]))
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3.0
    way = rose(bars["high"], bars["low"], bars["close"])
    averages = _averages(bars["close"], position)
    return {
        **averages,
        **_rsi(bars["close"], position),
        **_bollinger(bars["close"], position, averages["sma_20"]),
        **_oscillators(bars, position),
        **_cci(typical, way, position),
        **_ultimate(bars, position),
        **range_features(bars, position, averages[f"ema_{is_.KELTNER_BARS}"]),
        **flow_features(bars, typical, way, position),
        **filled_in_week(given["close"], flat),
    }


def _rsi(close: Floats, position: Ints) -> Arrays:
    change = close - earlier(close, 1)
    changes = np.maximum(position - 1, -1)  # the first bar of a run has no change
    gain, loss = exponential_means([np.maximum(change, 0.0), np.maximum(-change, 0.0)], changes, WILDER_ALPHA)
    return {"rsi_14": after(is_.WILDER_WARMUP, position, 100.0 * ratio(gain, gain + loss))}


def _averages(close: Floats, position: Ints) -> Arrays:
    out: Arrays = {}
    for bars, total in zip(is_.SMA_BARS, rolling_sums(close, *is_.SMA_BARS), strict=True):
        out[f"sma_{bars}"] = after(bars - 1, position, total / bars)
    out["sma_20"] = after(is_.BOLLINGER_BARS - 1, position, rolling_mean(close, is_.BOLLINGER_BARS))
    for bars in is_.TO_SMA_BARS:
        out[f"close_to_sma_{bars}"] = close / out[f"sma_{bars}"] - 1.0
    means = {bars: exponential_mean(close, position, ema_alpha(bars)) for bars in is_.EMA_BARS}
    for bars, mean in means.items():
        out[f"ema_{bars}"] = after(warmup_bars(ema_alpha(bars)), position, mean)
    line = means[is_.EMA_FAST] - means[is_.EMA_SLOW]
    signal = exponential_mean(line, position, is_.SIGNAL_ALPHA)
    out["macd_line"] = after(is_.MACD_WARMUP, position, line)
    out["macd_signal"] = after(is_.SIGNAL_WARMUP, position, signal)
    out["macd_histogram"] = after(is_.SIGNAL_WARMUP, position, line - signal)
    out["ppo_12_26"] = out["macd_line"] / means[is_.EMA_SLOW]
    return out


def _bollinger(close: Floats, position: Ints, middle: Floats) -> Arrays:
    band = is_.BOLLINGER_SIGMAS * population_std(close, middle, is_.BOLLINGER_BARS)
    return {
        "bb_upper": middle + band,
        "bb_middle": middle.copy(),
        "bb_lower": middle - band,
        "bb_percent_b": ratio(close - (middle - band), 2.0 * band),
        "bb_width": 2.0 * band / middle,
    }


def _oscillators(bars: Mapping[str, Floats], position: Ints) -> Arrays:
    out: Arrays = {}
    sizes = (is_.STOCHASTIC_BARS, is_.WILLIAMS_BARS, is_.DONCHIAN_BARS)
    highs = rolling_extremes(bars["high"], np.maximum, *sizes)
    highs = [after(size - 1, position, high) for size, high in zip(sizes, highs, strict=True)]
    stochastic, williams, donchian = zip(highs, rolling_extremes(bars["low"], np.minimum, *sizes), strict=True)
    upper, lower = stochastic
    k = 100.0 * ratio(bars["close"] - lower, upper - lower)
    (three,) = rolling_sums(k, is_.STOCHASTIC_MEAN)  # NaN where any of the three is NaN
    first_d = is_.STOCHASTIC_BARS + is_.STOCHASTIC_MEAN - 2
    d = after(first_d, position, three / is_.STOCHASTIC_MEAN)
    (slow,) = rolling_sums(d, is_.STOCHASTIC_MEAN)
    slow = after(first_d + is_.STOCHASTIC_MEAN - 1, position, slow / is_.STOCHASTIC_MEAN)
    out |= {"stoch_k": k, "stoch_d": np.clip(d, 0.0, 100.0), "stoch_slow_d": np.clip(slow, 0.0, 100.0)}
    upper, lower = williams
    out["williams_r_24"] = -100.0 * ratio(upper - bars["close"], upper - lower)
    upper, lower = donchian
    out["donchian_upper_20"], out["donchian_lower_20"] = upper, after(is_.DONCHIAN_BARS - 1, position, lower)
    out["donchian_position_20"] = ratio(bars["close"] - lower, upper - lower)
    for size in is_.ROC_BARS:
        out[f"roc_{size}"] = after(size, position, bars["close"] / earlier(bars["close"], size) - 1.0)
    return out


def _cci(typical: Floats, way: Floats, position: Ints) -> Arrays:
    """Compute the commodity channel index.

    ``way`` says exactly whether the typical price rose. In a window where it never did, the result would be only
    rounding.
    """
    mean = after(is_.CCI_BARS - 1, position, rolling_mean(typical, is_.CCI_BARS))
    apart, buffer = np.zeros_like(typical), np.empty_like(typical)
    for age in range(is_.CCI_BARS):
        distance = np.subtract(typical[:, : typical.shape[1] - age], mean[:, age:], out=buffer[:, age:])
        apart[:, age:] += np.abs(distance, out=distance)
    (moves,) = rolling_counts(way != 0, is_.CCI_BARS - 1)
    np.copyto(apart, 0.0, where=moves == 0)
    return {"cci_20": ratio(typical - mean, 0.015 * apart / is_.CCI_BARS)}


def _ultimate(bars: Mapping[str, Floats], position: Ints) -> Arrays:
    before = earlier(bars["close"], 1)
    floor = np.minimum(bars["low"], before)
    pressure = rolling_sums(bars["close"] - floor, *is_.ULTIMATE_BARS)
    spread = rolling_sums(np.maximum(bars["high"], before) - floor, *is_.ULTIMATE_BARS)
    short, middle, long = (ratio(above, below) for above, below in zip(pressure, spread, strict=True))
    value = np.clip(100.0 * (4.0 * short + 2.0 * middle + long) / 7.0, 0.0, 100.0)
    return {"ultimate_oscillator": after(is_.ULTIMATE_BARS[-1], position, value)}
