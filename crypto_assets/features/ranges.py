"""Ranges of bars: true range, directional movement, channels around them, range-based volatility."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crypto_assets.features import technical_columns as is_
from crypto_assets.features.feature import WILDER_ALPHA
from crypto_assets.features.grid import Arrays, Floats, Ints
from crypto_assets.features.ties import rose
from crypto_assets.features.windows import after, earlier, exponential_mean, exponential_means, ratio, rolling_sums


def range_features(bars: Mapping[str, Floats], position: Ints, center: Floats) -> Arrays:
    """Compute the columns of bar ranges.

    Args:
        bars: open, high, low and close; coins x hours.
        position: the position of each bar in its run.
        center: the EMA in the middle of the Keltner channel.

    Returns:
        Column -> coins x hours.
    """
    span = bars["high"] - bars["low"]
    before = earlier(bars["close"], 1)
    gap = np.maximum(np.abs(bars["high"] - before), np.abs(bars["low"] - before))
    true_range = np.fmax(span, gap)  # the first bar of a run has no close before it, so its gap is NaN
    out = _directions(bars, position, true_range)
    out["natr_14"] = out["atr_14"] / bars["close"]
    reach = is_.KELTNER_RANGES * out["atr_14"]
    out |= {"keltner_upper": center + reach, "keltner_lower": center - reach}
    return out | _range_volatility(bars, position)


def _directions(bars: Mapping[str, Floats], position: Ints, true_range: Floats) -> Arrays:
    up = bars["high"] - earlier(bars["high"], 1)
    down = earlier(bars["low"], 1) - bars["low"]
    more = rose(bars["high"], bars["low"])  # up > down exactly where the sum of both rose
    first = position == 0  # the first bar of a run has no movement
    rising = np.fmax(up, 0.0) * ((more > 0) & ~first)  # fmax: 0 where it is not known
    falling = np.fmax(down, 0.0) * ((more < 0) & ~first)
    average, plus, minus = exponential_means([true_range, rising, falling], position, WILDER_ALPHA)
    both = plus + minus
    index = np.divide(np.abs(plus - minus), both, out=np.zeros_like(both), where=both > 0)
    trend = exponential_mean(index, position, WILDER_ALPHA)
    return {
        "atr_14": after(is_.WILDER_WARMUP, position, average),
        "plus_di_14": after(is_.WILDER_WARMUP, position, np.minimum(100.0 * ratio(plus, average), 100.0)),
        "minus_di_14": after(is_.WILDER_WARMUP, position, np.minimum(100.0 * ratio(minus, average), 100.0)),
        "adx_14": after(is_.ADX_WARMUP, position, np.minimum(100.0 * trend, 100.0)),
    }


def _range_volatility(bars: Mapping[str, Floats], position: Ints) -> Arrays:
    wide = np.log(bars["high"] / bars["low"]) ** 2
    body = np.log(bars["close"] / bars["open"]) ** 2
    inner = 0.5 * wide - (2.0 * np.log(2.0) - 1.0) * body
    out: Arrays = {}
    sizes = is_.DAY_WEEK.values()
    for (span, bars_), parkinson, garman in zip(
        is_.DAY_WEEK.items(), rolling_sums(wide, *sizes), rolling_sums(inner, *sizes), strict=True
    ):
        name = {"parkinson_volatility": parkinson / (4.0 * np.log(2.0)), "garman_klass_volatility": garman}
        for kind, total in name.items():
            value = np.sqrt(np.maximum(total / bars_, 0.0))
            out[f"{kind}_{span}"] = after(bars_ - 1, position, value)
    return out
