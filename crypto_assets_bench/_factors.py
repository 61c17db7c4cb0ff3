"""Fourteen factors of Qlib's Alpha158 on an instruments x days panel, by this project's window kernels.

Each has its Qlib expression beside it; a window is N days, and days with less than a whole window before them are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from crypto_assets.features.windows import earlier, rolling_extremes, rolling_sums

N = 20
BLOCK = 8  # instruments at once: their arrays stay in the processor's cache
THREADS = 2
QUANTILE = 0.8
EPSILON = 1e-12
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

QLIB = {
    "ROC": f"Ref($close, {N})/$close",
    "MA": f"Mean($close, {N})/$close",
    "STD": f"Std($close, {N})/$close",
    "BETA": f"Slope($close, {N})/$close",
    "RSQR": f"Rsquare($close, {N})",
    "MAX": f"Max($high, {N})/$close",
    "MIN": f"Min($low, {N})/$close",
    "QTLU": f"Quantile($close, {N}, {QUANTILE})/$close",
    "RANK": f"Rank($close, {N})",
    "CORR": f"Corr($close, Log($volume+1), {N})",
    "CNTP": f"Mean($close>Ref($close, 1), {N})",
    "SUMP": f"Sum(Greater($close-Ref($close, 1), 0), {N})/(Sum(Abs($close-Ref($close, 1)), {N})+{EPSILON})",
    "VMA": f"Mean($volume, {N})/($volume+{EPSILON})",
    "VSTD": f"Std($volume, {N})/($volume+{EPSILON})",
}


def factors(panel: Mapping[str, Singles]) -> dict[str, Floats]:
    """``close``, ``high``, ``low``, ``volume`` (instruments x days, float32) -> the factors (float64)."""
    shape = panel["close"].shape
    out = {name: np.empty(shape) for name in QLIB}

    def block(first: int) -> None:
        part = slice(first, first + BLOCK)
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, values in _block({name: array[part] for name, array in panel.items()}).items():
                values[:, : N - 1] = np.nan
                out[name][part] = values

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(block, range(0, shape[0], BLOCK)))
    return out


def _block(panel: Mapping[str, Singles]) -> dict[str, Floats]:
    close, volume = panel["close"].astype(np.float64), panel["volume"].astype(np.float64)
    logs = np.log(panel["volume"] + 1).astype(np.float64)  # in single precision, as Qlib stores and computes it
    price, turnover, log_volume = _Window(close), _Window(volume), _Window(logs)
    change = close - earlier(close, 1)
    rises, falls = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    (up,) = rolling_sums((change > 0).astype(np.float64), N)
    gains, losses = (rolling_sums(np.nan_to_num(array), N)[0] for array in (rises, falls))
    covariance = price.product(log_volume)
    slope = price.slope()
    ramp = N * (N * N - 1) / 12
    return {
        "ROC": earlier(close, N) / close,
        "MA": price.mean / close,
        "STD": np.sqrt(price.squares / (N - 1)) / close,
        "BETA": slope / close,
        "RSQR": slope * slope * ramp / price.squares,
        "MAX": rolling_extremes(panel["high"].astype(np.float64), np.maximum, N)[0] / close,
        "MIN": rolling_extremes(panel["low"].astype(np.float64), np.minimum, N)[0] / close,
        "QTLU": _upper_quantile(close) / close,
        "RANK": _rank(close),
        "CORR": covariance / np.sqrt(price.squares * log_volume.squares),
        "CNTP": up / N,
        "SUMP": gains / (gains + losses + EPSILON),
        "VMA": turnover.mean / (volume + EPSILON),
        "VSTD": np.sqrt(turnover.squares / (N - 1)) / (volume + EPSILON),
    }


class _Window:
    """Mean, and sums of squares and products of deviations from it, in two passes: nothing cancels."""

    def __init__(self, array: Floats) -> None:
        self._array = array
        (total,) = rolling_sums(array, N)
        self.mean = total / N
        self.squares = self.product(self)

    def product(self, other: _Window) -> Floats:
        total = np.zeros_like(self._array)
        for age in range(N):
            days = self._array.shape[1] - age
            apart = self._array[:, :days] - self.mean[:, age:]
            apart *= apart if other is self else other._array[:, :days] - other.mean[:, age:]
            total[:, age:] += apart
        return total

    def slope(self) -> Floats:
        """Of the least-squares line through the window, per day."""
        total = np.zeros_like(self._array)
        for age in range(N):
            total[:, age:] += self._array[:, : self._array.shape[1] - age] * ((N - 1) / 2 - age)
        return total / (N * (N * N - 1) / 12)


def _rank(array: Floats) -> Floats:
    """Share of the window that is not above its last value; ties count half."""
    below = np.full(array.shape, 0.5)
    for age in range(N):
        then, now = array[:, : array.shape[1] - age], array[:, age:]
        below[:, age:] += 0.5 * ((then < now).astype(np.float64) + (then <= now))
    return below / N


def _upper_quantile(array: Floats) -> Floats:
    """The window's quantile by linear interpolation, from its largest few values."""
    place = QUANTILE * (N - 1)
    depth = N - int(place)  # the lower neighbour is the depth-th largest
    largest = [np.full_like(array, -np.inf) for _ in range(depth)]
    for age in range(N):
        value = array[:, : array.shape[1] - age].copy()
        for kept in largest:
            top = kept[:, age:]
            smaller = np.minimum(top, value)
            np.maximum(top, value, out=top)
            value = smaller
    lower, upper = largest[-1], largest[-2]
    return lower + (upper - lower) * (place - int(place))
