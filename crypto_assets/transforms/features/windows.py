"""Rolling and recursive arithmetic on coins x hours arrays. What the numbers mean belongs to the callers.

Every output cell is computed from its own window by a fixed tree of additions (windows of 1, 2, 4, … columns, merged),
never by adding what enters and subtracting what leaves: running sums carry the rounding of everything before them, so
their result depends on where the loaded frame starts, and they lose all digits after a price falls by orders of
magnitude. Here the same window gives the same bits, however much history is loaded (rule 3), at log2(window) passes.

Columns with less than a whole window to their left hold partial results; callers mask them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crypto_assets.feature_columns.feature import memory_bars
from crypto_assets.transforms.features.grid import Flags, Floats, Ints


def run_position(present: Flags) -> Ints:
    """How many consecutive present columns precede each column (0: first of its run); -1 where absent."""
    column = np.arange(present.shape[1])
    last_absent = np.maximum.accumulate(np.where(present, -1, column), axis=1)
    return np.asarray(column - last_absent - 1)


def earlier(array: Floats, columns: int) -> Floats:
    """The value ``columns`` hours before; NaN where the array does not reach."""
    out = np.full_like(array, np.nan)
    if columns < array.shape[1]:
        out[:, columns:] = array[:, :-columns]
    return out


def after(warmup: int, position: Ints, array: Floats) -> Floats:
    """Unknown for the first ``warmup`` columns of a run, and where there is none."""
    return np.where(position >= warmup, array, np.nan)


def ratio(above: Floats, below: Floats) -> Floats:
    """above / below, unknown where below is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def rolling_count(present: Flags, size: int) -> Ints:
    """How many of the last ``size`` columns are present. Whole numbers: here a running sum carries no rounding."""
    count = np.cumsum(present, axis=1, dtype=np.int64)
    count[:, size:] -= count[:, :-size].copy()
    return count


def bits(size: int) -> list[int]:
    return [1 << n for n in range(size.bit_length()) if size >> n & 1]


def rolling_sums(array: Floats, *sizes: int) -> list[Floats]:
    """Sums over the last ``size`` columns, one array per size. NaN wherever the window holds one."""
    levels = {1: array}
    size = 1
    while 2 * size <= max(sizes):
        levels[2 * size] = _add(levels[size], levels[size], size)
        size *= 2
    sums = []
    for wanted in sizes:
        done, *rest = bits(wanted)
        total = levels[done]
        for bit in rest:
            total = _add(total, levels[bit], done)
            done += bit
        sums.append(total)
    return sums


def _add(recent: Floats, older: Floats, columns: int) -> Floats:
    out = recent.copy()
    out[:, columns:] += older[:, :-columns]
    return out


def rolling_extreme(array: Floats, size: int, function: np.ufunc) -> Floats:
    """``np.maximum`` or ``np.minimum`` over the last ``size`` columns; NaN wherever the window holds one."""
    out = array
    done = 1
    while done < size:
        step = min(done, size - done)  # windows may overlap: an extreme does not mind
        wider = out.copy()
        function(out[:, step:], out[:, :-step], out=wider[:, step:])
        out, done = wider, done + step
    return out


class Moments:
    """Count, mean and sum of squared deviations of windows, merged pairwise (Chan, Golub, LeVeque 1983).

    No cancellation: deviations are never the difference of two large sums. A flat window gives exactly 0.
    """

    def __init__(self, count: Floats, mean: Floats, squares: Floats) -> None:
        self.count, self.mean, self.squares = count, mean, squares

    @classmethod
    def of(cls, array: Floats) -> Moments:
        present = ~np.isnan(array)
        return cls(present.astype(np.float64), np.where(present, array, 0.0), np.zeros_like(array))

    def with_older(self, other: Moments, columns: int) -> Moments:
        """These windows joined with ``other``'s windows that end ``columns`` before."""
        new, old = slice(columns, None), slice(None, -columns)
        count, mean, squares = self.count.copy(), self.mean.copy(), self.squares.copy()
        count[:, new] += other.count[:, old]
        share = other.count[:, old] / np.maximum(count[:, new], 1.0)
        apart = other.mean[:, old] - self.mean[:, new]
        mean[:, new] += apart * share
        squares[:, new] += other.squares[:, old] + apart * apart * share * self.count[:, new]
        return Moments(count, mean, squares)

    def std(self, ddof: int, at_least: float) -> Floats:
        """Standard deviation; NaN where fewer than ``at_least`` values were seen."""
        enough = self.count >= max(at_least, ddof + 1)
        return np.where(enough, np.sqrt(self.squares / np.maximum(self.count - ddof, 1.0)), np.nan)


def rolling_moments(array: Floats, *sizes: int) -> list[Moments]:
    """Moments of the non-NaN values in the last ``size`` columns, one per size."""
    levels = {1: Moments.of(array)}
    size = 1
    while 2 * size <= min(max(sizes), array.shape[1]):
        levels[2 * size] = levels[size].with_older(levels[size], size)
        size *= 2
    found = []
    for wanted in sizes:
        done, *rest = bits(wanted)
        total = levels[done]
        for bit in rest:
            total = total.with_older(levels[bit], done)
            done += bit
        found.append(total)
    return found


def population_std(array: Floats, mean: Floats, size: int) -> Floats:
    """Standard deviation (ddof 0) of the last ``size`` columns about their ``mean``, in the second of two passes.

    For values far from 0 that hardly move, such as prices: the error of the mean enters only squared.
    """
    squares = np.zeros_like(array)
    for age in range(size):
        apart = array[:, : array.shape[1] - age] - mean[:, age:]
        apart *= apart
        squares[:, age:] += apart
    return np.sqrt(squares / size)


def exponential_means(arrays: Sequence[Floats], position: Ints, alpha: float) -> list[Floats]:
    """``m = alpha * x + (1 - alpha) * m_before`` of each array, seeded with the first value of each run of present columns.

    ``position`` is :func:`run_position` of the columns where the arrays have a value. The recursion is unrolled over
    :func:`memory_bars`, beyond which a double does not change, so the result is a function of those columns alone.
    Where a run is absent the result is 0; callers mask it together with the warm-up.
    """
    means = [np.where(position > 0, alpha * array, array) for array in arrays]
    for mean in means:
        mean[position < 0] = 0.0
    span = 1
    buffer = np.empty_like(position, dtype=np.float64)
    while span < min(memory_bars(alpha), position.shape[1]):
        inside = position[:, span:] >= span  # nothing from before the run's first column
        whole = bool(inside.all())
        older = buffer[:, span:]
        for mean in means:
            np.multiply(mean[:, :-span], (1 - alpha) ** span, out=older)
            if not whole:
                older *= inside
            mean[:, span:] += older
        span *= 2
    return means


def exponential_mean(array: Floats, position: Ints, alpha: float) -> Floats:
    """:func:`exponential_means` of one array."""
    return exponential_means([array], position, alpha)[0]
