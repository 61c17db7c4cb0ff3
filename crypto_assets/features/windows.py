"""Rolling and recursive arithmetic on coins x hours arrays. What the numbers mean belongs to the callers.

Every output cell is computed from its own window by a fixed tree of additions (windows of 1, 2, 4, … columns, merged),
never by adding what enters and subtracting what leaves: running sums carry the rounding of everything before them, so
their result depends on where the loaded frame starts, and they lose all digits after a price falls by orders of
magnitude. Here the same window gives the same bits, however much history is loaded (rule 3), at log2(window) passes.

Columns with less than a whole window to their left hold partial results; callers mask them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from crypto_assets.features.feature import memory_bars
from crypto_assets.features.grid import Flags, Floats, Ints

T = TypeVar("T")
Array = TypeVar("Array", NDArray[np.float64], NDArray[np.int32])
Counts = NDArray[np.int32]


def run_position(present: Flags) -> Ints:
    """How many consecutive present columns precede each column (0: first of its run); -1 where absent."""
    column = np.arange(present.shape[1])
    last_absent = np.maximum.accumulate(np.where(present, -1, column), axis=1)
    return np.asarray(column - last_absent - 1)


def earlier(array: Floats, columns: int) -> Floats:
    """The value ``columns`` hours before; NaN where the array does not reach."""
    out = np.empty_like(array)
    out[:, :columns] = np.nan
    out[:, columns:] = array[:, :-columns]
    return out


def unbroken(position: Ints) -> bool:
    """Every row is one run from the first column to the last: the common case, in which nothing needs a mask."""
    width = position.shape[1]
    return width > 0 and bool((position[:, -1] == width - 1).all())


def after(warmup: int, position: Ints, array: Floats) -> Floats:
    """Unknown for the first ``warmup`` columns of a run, and where there is none."""
    if not unbroken(position):
        return np.where(position >= warmup, array, np.nan)
    out = array.copy()
    out[:, :warmup] = np.nan
    return out


def ratio(above: Floats, below: Floats) -> Floats:
    """above / below, unknown where below is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        out = np.asarray(above / below)
    nothing = below == 0
    if nothing.any():
        out[np.broadcast_to(nothing, out.shape)] = np.nan
    return out


def over_windows(cells: T, sizes: Sequence[int], join: Callable[[T, T, int], T]) -> list[T]:
    """What ``join`` makes of the last ``size`` columns, one per size, from what ``cells`` holds of each column alone.

    ``join(newer, older, columns)`` gives the windows of ``newer``, each with ``older``'s window that ends ``columns``
    before: first windows of 1, 2, 4, … columns, then each size from those its binary digits name.
    """
    levels = {1: cells}
    size = 1
    while 2 * size <= max(sizes):
        levels[2 * size] = join(levels[size], levels[size], size)
        size *= 2
    found = []
    for wanted in sizes:
        done, *rest = [1 << n for n in range(wanted.bit_length()) if wanted >> n & 1]
        total = levels[done]
        for bit in rest:
            total = join(total, levels[bit], done)
            done += bit
        found.append(total)
    return found


def joined(function: np.ufunc, newer: Array, older: Array, columns: int) -> Array:
    """``function`` of each column and of the one ``columns`` before; where there is none before: the column alone."""
    out = np.empty_like(newer)
    out[:, :columns] = newer[:, :columns]
    function(newer[:, columns:], older[:, :-columns], out=out[:, columns:])
    return out


def _add(newer: Array, older: Array, columns: int) -> Array:
    return joined(np.add, newer, older, columns)


def rolling_sums(array: Floats, *sizes: int) -> list[Floats]:
    """Sums over the last ``size`` columns, one array per size. NaN wherever the window holds one."""
    return over_windows(array, sizes, _add)


def rolling_counts(present: Flags, *sizes: int) -> list[Counts]:
    """How many of the last ``size`` columns are present, one array per size: of one row where all rows are alike."""
    alike = present[:1] if (present == present[:1]).all() else present
    return over_windows(alike.astype(np.int32), sizes, _add)


def rolling_mean(array: Floats, size: int) -> Floats:
    """Mean of the last ``size`` columns, NaN wherever the window holds one; of a flat window exactly its value."""

    def join(newer: _Part, older: _Part, columns: int) -> _Part:
        if columns == older.size == newer.size:
            return _Part(2 * columns, _add(newer.mean, older.mean, columns) * 0.5)
        mean, share = newer.mean.copy(), older.size / (newer.size + older.size)
        mean[:, columns:] += share * (older.mean[:, :-columns] - newer.mean[:, columns:])
        return _Part(newer.size + older.size, mean)

    return over_windows(_Part(1, array), [size], join)[0].mean


@dataclass(frozen=True)
class _Part:
    size: int
    mean: Floats


def rolling_extremes(array: Floats, function: np.ufunc, *sizes: int) -> list[Floats]:
    """``np.maximum`` or ``np.minimum`` over the last ``size`` columns, one per size; NaN wherever the window holds one.

    ``np.fmax`` and ``np.fmin`` leave NaN out. A size is two windows of a power of two, which may overlap: an extreme
    does not mind.
    """
    levels = {1: array}
    size = 1
    while 2 * size <= max(sizes):
        levels[2 * size] = joined(function, levels[size], levels[size], size)
        size *= 2
    found = []
    for wanted in sizes:
        half = 1 << (wanted.bit_length() - 1)
        whole = wanted == half
        found.append(levels[half] if whole else joined(function, levels[half], levels[half], wanted - half))
    return found


def rolling_extreme(array: Floats, size: int, function: np.ufunc) -> Floats:
    """:func:`rolling_extremes` of one size."""
    return rolling_extremes(array, function, size)[0]


def population_std(array: Floats, mean: Floats, size: int) -> Floats:
    """Standard deviation (ddof 0) of the last ``size`` columns about their ``mean``, in the second of two passes.

    For values far from 0 that hardly move, such as prices: the error of the mean enters only squared.
    """
    squares, buffer = np.zeros_like(array), np.empty_like(array)
    for age in range(size):
        apart = np.subtract(array[:, : array.shape[1] - age], mean[:, age:], out=buffer[:, age:])
        apart *= apart
        squares[:, age:] += apart
    squares /= size
    return np.sqrt(squares, out=squares)


def exponential_means(arrays: Sequence[Floats], position: Ints, alpha: float) -> list[Floats]:
    """``m = alpha * x + (1 - alpha) * m_before`` of each array, seeded with the first value of each run of present columns.

    ``position`` is :func:`run_position` of the columns where the arrays have a value. The recursion is unrolled over
    :func:`memory_bars`, beyond which a double does not change, so the result is a function of those columns alone.
    Where a run is absent the result is 0; callers mask it together with the warm-up.
    """
    whole_runs = unbroken(position)
    means = [_seeded(array, position, alpha, whole_runs) for array in arrays]
    span = 1
    buffer = np.empty_like(position, dtype=np.float64)
    while span < min(memory_bars(alpha), position.shape[1]):
        inside = None if whole_runs else position[:, span:] >= span  # nothing from before the run's first column
        older = buffer[:, span:]
        for mean in means:
            np.multiply(mean[:, :-span], (1 - alpha) ** span, out=older)
            if inside is not None:
                older *= inside
            mean[:, span:] += older
        span *= 2
    return means


def _seeded(array: Floats, position: Ints, alpha: float, whole_runs: bool) -> Floats:
    """Each column's own share in the mean; a run's first column counts whole."""
    if whole_runs:
        own = alpha * array
        own[:, 0] = array[:, 0]
        return own
    own = np.where(position > 0, alpha * array, array)
    own[position < 0] = 0.0
    return own


def exponential_mean(array: Floats, position: Ints, alpha: float) -> Floats:
    """:func:`exponential_means` of one array."""
    return exponential_means([array], position, alpha)[0]
