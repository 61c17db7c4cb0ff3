"""Indicators of consecutive hourly bars from ``ohlc``, in the coin's quote currency. Nothing from other tables.

A column is the hour mark at which the bar closed. A missing bar makes a windowed indicator unknown until its window is
whole again; recursive ones restart with the first bar after it and stay unknown for their warm-up.
References: Wilder 1978 (RSI, ATR), Appel (MACD 12/26/9), Bollinger (20, 2), Lane (stochastic 14/3).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crypto_assets.transforms.features.grid import Arrays, Floats, Ints
from crypto_assets.transforms.features.windows import (
    earlier,
    exponential_mean,
    memory_bars,
    population_std,
    rolling_extreme,
    rolling_moments,
    rolling_sums,
    run_position,
    warmup_bars,
)

BAR_COLUMNS = ("high", "low", "close", "volume")

SMA_SHORT, SMA_LONG = 20, 50
WILDER_BARS = 14
EMA_FAST, EMA_SLOW, SIGNAL_BARS = 12, 26, 9
BOLLINGER_BARS, BOLLINGER_SIGMAS = SMA_SHORT, 2.0
STOCHASTIC_BARS, STOCHASTIC_MEAN = 14, 3
VWAP_BARS = 24


def ema_alpha(bars: int) -> float:
    return 2.0 / (bars + 1)


WILDER_ALPHA = 1.0 / WILDER_BARS
SIGNAL_ALPHA = ema_alpha(SIGNAL_BARS)

TOLERANCE = 1e-9  # what a seed may still count for once a value is shown
DIFFERENCE_TOLERANCE = 1e-12  # MACD is a small difference of large means: the seed must fade further
WILDER_WARMUP = warmup_bars(WILDER_ALPHA, TOLERANCE)
FAST_WARMUP = warmup_bars(ema_alpha(EMA_FAST), TOLERANCE)
SLOW_WARMUP = warmup_bars(ema_alpha(EMA_SLOW), TOLERANCE)
MACD_WARMUP = max(warmup_bars(ema_alpha(n), DIFFERENCE_TOLERANCE) for n in (EMA_FAST, EMA_SLOW))
SIGNAL_WARMUP = MACD_WARMUP + warmup_bars(SIGNAL_ALPHA, DIFFERENCE_TOLERANCE)

# Bars that one output column depends on, its own included: what must be loaded before the first one.
WINDOW = max(
    memory_bars(WILDER_ALPHA) + 1,  # changes and true ranges need the bar before
    memory_bars(ema_alpha(EMA_SLOW)) + memory_bars(SIGNAL_ALPHA) - 1,
    SIGNAL_WARMUP + 1,
    SMA_LONG,
    VWAP_BARS,
)


def technical_features(bars: Mapping[str, Floats]) -> Arrays:
    """All technical columns from high, low, close (quote) and volume (base units; NaN: unknown)."""
    position = run_position(~np.isnan(bars["close"]))
    return {
        **_rsi(bars["close"], position),
        **_averages(bars["close"], position),
        **_macd(bars["close"], position),
        **_stochastic(bars, position),
        **_atr(bars, position),
        **_vwap(bars, position),
    }


def _after(warmup: int, position: Ints, array: Floats) -> Floats:
    """Unknown for the first ``warmup`` bars of a run, and where there is no bar."""
    return np.where(position >= warmup, array, np.nan)


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below, unknown where below is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def _rsi(close: Floats, position: Ints) -> Arrays:
    change = close - earlier(close, 1)
    changes = np.maximum(position - 1, -1)  # a run's first bar has no change
    gain = exponential_mean(np.maximum(change, 0.0), changes, WILDER_ALPHA)
    loss = exponential_mean(np.maximum(-change, 0.0), changes, WILDER_ALPHA)
    return {"rsi_14": _after(WILDER_WARMUP, position, 100.0 * _ratio(gain, gain + loss))}


def _averages(close: Floats, position: Ints) -> Arrays:
    (long,) = rolling_sums(close, SMA_LONG)
    (window,) = rolling_moments(close, BOLLINGER_BARS)
    middle = _after(BOLLINGER_BARS - 1, position, window.mean)  # of a flat window: exactly its value
    band = BOLLINGER_SIGMAS * population_std(close, middle, BOLLINGER_BARS)
    return {
        "sma_20": middle,
        "sma_50": _after(SMA_LONG - 1, position, long / SMA_LONG),
        "bb_upper": middle + band,
        "bb_middle": middle.copy(),
        "bb_lower": middle - band,
    }


def _macd(close: Floats, position: Ints) -> Arrays:
    fast = exponential_mean(close, position, ema_alpha(EMA_FAST))
    slow = exponential_mean(close, position, ema_alpha(EMA_SLOW))
    line = fast - slow
    signal = exponential_mean(line, position, SIGNAL_ALPHA)
    return {
        "ema_12": _after(FAST_WARMUP, position, fast),
        "ema_26": _after(SLOW_WARMUP, position, slow),
        "macd_line": _after(MACD_WARMUP, position, line),
        "macd_signal": _after(SIGNAL_WARMUP, position, signal),
        "macd_histogram": _after(SIGNAL_WARMUP, position, line - signal),
    }


def _stochastic(bars: Mapping[str, Floats], position: Ints) -> Arrays:
    highest = rolling_extreme(bars["high"], STOCHASTIC_BARS, np.maximum)
    lowest = rolling_extreme(bars["low"], STOCHASTIC_BARS, np.minimum)
    k = _after(STOCHASTIC_BARS - 1, position, 100.0 * _ratio(bars["close"] - lowest, highest - lowest))
    (three,) = rolling_sums(k, STOCHASTIC_MEAN)  # NaN where any of the three is
    return {"stoch_k": k, "stoch_d": _after(STOCHASTIC_BARS + STOCHASTIC_MEAN - 2, position, three / STOCHASTIC_MEAN)}


def _atr(bars: Mapping[str, Floats], position: Ints) -> Arrays:
    span = bars["high"] - bars["low"]
    before = earlier(bars["close"], 1)
    gap = np.maximum(np.abs(bars["high"] - before), np.abs(bars["low"] - before))
    true_range = np.where(position > 0, np.maximum(span, gap), span)  # a run's first bar has no close before it
    return {"atr_14": _after(WILDER_WARMUP, position, exponential_mean(true_range, position, WILDER_ALPHA))}


def _vwap(bars: Mapping[str, Floats], position: Ints) -> Arrays:
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3.0
    (value,) = rolling_sums(typical * bars["volume"], VWAP_BARS)
    (volume,) = rolling_sums(bars["volume"], VWAP_BARS)
    return {"vwap_24h": _after(VWAP_BARS - 1, position, _ratio(value, volume))}
