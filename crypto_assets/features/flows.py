"""Features of traded volume: volume-weighted prices, on-balance volume, money flow, illiquidity.

Bars without volume give NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crypto_assets.features import technical_columns as is_
from crypto_assets.features.feature import LEAST_SHARE
from crypto_assets.features.flat_bars import each_run_alone
from crypto_assets.features.grid import Arrays, Floats, Ints
from crypto_assets.features.moments import rolling_moments
from crypto_assets.features.ties import UNIT
from crypto_assets.features.windows import after, earlier, ratio, rolling_counts, rolling_sums

MILLION = 1e6
VALUE_NOISE = 4 * UNIT  # rounding of close x volume: each factor and the product


def flow_features(bars: Mapping[str, Floats], typical: Floats, way: Floats, position: Ints) -> Arrays:
    """Compute the columns of traded volume.

    Args:
        bars: open, high, low, close and volume; coins x hours.
        typical: (high + low + close) / 3.
        way: 1 where ``typical`` rose, -1 where it fell.
        position: the position of each bar in its run.

    Returns:
        Column -> coins x hours.
    """
    close, volume = bars["close"], bars["volume"]
    turned = typical * volume
    (value,) = rolling_sums(turned, is_.VWAP_BARS)
    day_volume, cmf_volume = rolling_sums(volume, is_.VWAP_BARS, is_.CMF_BARS)
    out: Arrays = {"vwap_24h": after(is_.VWAP_BARS - 1, position, ratio(value, day_volume))}
    out["close_to_vwap_24h"] = close / out["vwap_24h"] - 1.0
    change = close - earlier(close, 1)
    signed = rolling_sums(np.sign(change) * volume, *is_.DAY_WEEK.values())
    for (name, size), total in zip(is_.DAY_WEEK.items(), signed, strict=True):
        out[f"obv_{name}"] = after(size, position, total)
    out["obv_share_24h"] = np.clip(ratio(out["obv_24h"], day_volume), -1.0, 1.0)
    out["mfi_14"] = _money_flow(turned, way, position)
    span = bars["high"] - bars["low"]
    place = np.divide(2.0 * close - bars["low"] - bars["high"], span, out=np.zeros_like(span), where=span > 0)
    (weighted,) = rolling_sums(place * volume, is_.CMF_BARS)
    share = np.clip(ratio(weighted, cmf_volume), -1.0, 1.0)
    out["cmf_20"] = after(is_.CMF_BARS - 1, position, share)
    return out | _traded(bars, position)


def _money_flow(turned: Floats, way: Floats, position: Ints) -> Floats:
    (rising,) = rolling_sums(turned * np.maximum(way, 0.0), is_.MFI_BARS)
    (falling,) = rolling_sums(turned * np.maximum(-way, 0.0), is_.MFI_BARS)
    return after(is_.MFI_BARS, position, 100.0 * ratio(rising, rising + falling))


def _traded(bars: Mapping[str, Floats], position: Ints) -> Arrays:
    (day_value,) = rolling_sums(bars["close"] * bars["volume"], is_.VWAP_BARS)
    needed = {name: bars[name] for name in ("close", "volume")}
    return {"traded_value_24h": after(is_.VWAP_BARS - 1, position, day_value)} | each_run_alone(
        _of_most_bars, needed, position
    )


def _of_most_bars(bars: Arrays) -> Arrays:
    """Compute statistics of one run of bars that need only four fifths of the window."""
    close = bars["close"]
    value = close * bars["volume"]
    week_bars = is_.DAY_WEEK["7d"]
    (week,) = rolling_moments(value, week_bars)
    spread = week.std(ddof=1, at_least=LEAST_SHARE * week_bars, noise=VALUE_NOISE * week.mean)
    out: Arrays = {"traded_value_zscore_7d": ratio(value - week.mean, spread)}
    before = earlier(close, 1)
    moved = np.abs(close - before) / before
    usable = (value > 0) & ~np.isnan(moved)
    impact = np.divide(moved * MILLION, value, out=np.zeros_like(value), where=usable)
    sizes = is_.DAY_WEEK.values()
    sums, counts = rolling_sums(impact, *sizes), rolling_counts(usable, *sizes)
    for (span, size), total, count in zip(is_.DAY_WEEK.items(), sums, counts, strict=True):
        out[f"amihud_illiquidity_{span}"] = mean = total / np.maximum(count, 1)
        np.copyto(mean, np.nan, where=count < LEAST_SHARE * size)
    return out
