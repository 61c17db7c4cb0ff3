"""Rolling and recursive arithmetic on arrays of coins x hours. The meaning of the numbers belongs to the callers.

Every output cell is computed from its own window by a fixed tree of additions: windows of 1, 2, 4, … columns, merged.
Running sums (add what enters, subtract what leaves) are not used. They carry the rounding of everything before them, so
their result depends on where the loaded frame starts, and they lose all digits after a price falls by orders of
magnitude. Here the same window gives the same bits, however much history is loaded (chunking does not show), with
log2(window) passes.

Columns with less than a complete window to their left hold partial results; callers mask them.
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
    """Count the consecutive present columns before each column (0: first of its run); -1 where absent."""
    column = np.arange(present.shape[1])
    last_absent = np.maximum.accumulate(np.where(present, -1, column), axis=1)
    return np.asarray(column - last_absent - 1)


def earlier(array: Floats, columns: int) -> Floats:
    """Return the value ``columns`` hours before; NaN before the start of the array."""
    out = np.empty_like(array)
    out[:, :columns] = np.nan
    out[:, columns:] = array[:, :-columns]
    return out


def carried(array: Floats, hours: int) -> Floats:
    """Fill each hour with the newest value that is less than ``hours`` old; NaN where there is none."""
    column = np.arange(array.shape[1])
    last = np.maximum.accumulate(np.where(np.isnan(array), -1, column), axis=1)
    found = np.take_along_axis(array, np.maximum(last, 0), axis=1)
    return np.where((last >= 0) & (column - last < hours), found, np.nan)


def unbroken(position: Ints) -> bool:
    """Whether every row is one run from the first column to the last. In this common case no mask is needed."""
    width = position.shape[1]
    return width > 0 and bool((position[:, -1] == width - 1).all())


def after(warmup: int, position: Ints, array: Floats) -> Floats:
    """Set the first ``warmup`` columns of each run to NaN, and columns without a run."""
    if not unbroken(position):
        return np.where(position >= warmup, array, np.nan)
    out = array.copy()
    out[:, :warmup] = np.nan
    return out


def ratio(above: Floats, below: Floats) -> Floats:
    """Return above / below, NaN where ``below`` is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        out = np.asarray(above / below)
    nothing = below == 0
    if nothing.any():
        out[np.broadcast_to(nothing, out.shape)] = np.nan
    return out


def over_windows(cells: T, sizes: Sequence[int], join: Callable[[T, T, int], T]) -> list[T]:
    """Combine the last ``size`` columns of each cell, one result per size.

    First windows of 1, 2, 4, … columns are built, then each size from the ones in its binary digits.

    Args:
        cells: the result of each column alone.
        sizes: numbers of columns.
        join: ``join(newer, older, columns)`` joins each window of ``newer`` with the window of ``older`` that ends
            ``columns`` before.

    Returns:
        The results, in the order of the sizes.
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
    """Apply ``function`` to each column and the one ``columns`` before; a column without one before stays as it is.

    Args:
        function: a binary function of NumPy.
        newer: the array.
        older: the array of the earlier columns.
        columns: the distance.

    Returns:
        The array.
    """
    out = np.empty_like(newer)
    out[:, :columns] = newer[:, :columns]
    function(newer[:, columns:], older[:, :-columns], out=out[:, columns:])
    return out


def _add(newer: Array, older: Array, columns: int) -> Array:
    return joined(np.add, newer, older, columns)


def rolling_sums(array: Floats, *sizes: int) -> list[Floats]:
    """Compute sums over the last ``size`` columns, one array per size; NaN where the window has a NaN."""
    return over_windows(array, sizes, _add)


def rolling_counts(present: Flags, *sizes: int) -> list[Counts]:
    """Count the present columns among the last ``size``, one array per size; one row where all rows are equal."""
    alike = present[:1] if (present == present[:1]).all() else present
    return over_windows(alike.astype(np.int32), sizes, _add)


def rolling_mean(array: Floats, size: int) -> Floats:
    """Compute the mean of the last ``size`` columns; NaN where the window has a NaN; exact in a flat window."""

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
    """Compute the maximum or minimum over the last ``size`` columns, one per size.

    A size is two windows of a power of two. They may overlap, which does not change an extreme.

    Args:
        array: coins x hours.
        function: ``np.maximum`` or ``np.minimum`` (NaN where the window has a NaN), or ``np.fmax`` or ``np.fmin`` (NaN
            is left out).
        *sizes: numbers of columns.

    Returns:
        The extremes, in the order of the sizes.
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


def population_std(array: Floats, mean: Floats, size: int) -> Floats:
    """Compute the standard deviation (ddof 0) of the last ``size`` columns about their ``mean``, in two passes.

    This suits values far from 0 that hardly move, like prices: the error of the mean enters only squared.

    Args:
        array: coins x hours.
        mean: the mean of the same windows.
        size: the number of columns.

    Returns:
        The standard deviations.
    """
    squares, buffer = np.zeros_like(array), np.empty_like(array)
    for age in range(size):
        apart = np.subtract(array[:, : array.shape[1] - age], mean[:, age:], out=buffer[:, age:])
        apart *= apart
        squares[:, age:] += apart
    squares /= size
    return np.sqrt(squares, out=squares)


def exponential_means(arrays: Sequence[Floats], position: Ints, alpha: float) -> list[Floats]:
    """Compute ``m = alpha * x + (1 - alpha) * m_before`` of each array, seeded with the first value of each run.

    The recursion is unrolled over :func:`memory_bars`, beyond which a double does not change. So the result depends
    only on those columns. Where there is no run the result is 0; callers mask it together with the warm-up.

    Args:
        arrays: coins x hours.
        position: :func:`run_position` of the columns where the arrays have a value.
        alpha: the weight of the newest value.

    Returns:
        The means, in the order of the arrays.
    """
    whole_runs = unbroken(position)
    means = [_seeded(array, position, alpha, whole_runs) for array in arrays]
    span = 1
    buffer = np.empty_like(position, dtype=np.float64)
    while span < min(memory_bars(alpha), position.shape[1]):
        inside = None if whole_runs else position[:, span:] >= span  # nothing from before the run
        older = buffer[:, span:]
        for mean in means:
            np.multiply(mean[:, :-span], (1 - alpha) ** span, out=older)
            if inside is not None:
                older *= inside
            mean[:, span:] += older
        span *= 2
    return means


def _seeded(array: Floats, position: Ints, alpha: float, whole_runs: bool) -> Floats:
    """Return the share of each column in the mean; the first column of a run counts fully."""
    if whole_runs:
        own = alpha * array
        own[:, 0] = array[:, 0]
        return own
    own = np.where(position > 0, alpha * array, array)
    own[position < 0] = 0.0
    return own


def exponential_mean(array: Floats, position: Ints, alpha: float) -> Floats:
    """Compute :func:`exponential_means` of one array."""
    return exponential_means([array], position, alpha)[0]
