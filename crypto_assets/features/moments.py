"""Count, mean and spread of the values in a window, computed in one of two ways, chosen for each cell.

Sums of values and of squares cost a few additions, but lose digits where the mean is large compared with the spread.
Windows that are merged pairwise (Chan, Golub, LeVeque 1983) lose none, but cost many times as much. The choice for a
cell depends only on its window, like everything in ``windows.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crypto_assets.features.grid import Flags, Floats
from crypto_assets.features.windows import Counts, over_windows, rolling_counts, rolling_sums

KEPT = 1e-3  # the share of the sum of squares that must be left without the mean: costs 3 of 16 digits
ENOUGH = 0.5  # no caller uses a window with a smaller share of its columns, so its digits do not matter


@dataclass(frozen=True)
class Moments:
    """For each window: the number of values, their mean, and the sum of squared deviations.

    In a flat window the sum is exactly 0.
    """

    count: Floats | Counts
    mean: Floats
    squares: Floats

    @classmethod
    def of(cls, array: Floats) -> Moments:
        """Return the moments of each cell alone; NaN counts as no value."""
        present = ~np.isnan(array)
        return cls(present.astype(np.float64), np.where(present, array, 0.0), np.zeros_like(array))

    def with_older(self, other: Moments, columns: int) -> Moments:
        """Join each window with the window of ``other`` that ends ``columns`` before."""
        new, old = slice(columns, None), slice(None, -columns)
        count, mean, squares = self.count.copy(), self.mean.copy(), self.squares.copy()
        count[:, new] += other.count[:, old]
        share = other.count[:, old] / np.maximum(count[:, new], 1.0)
        apart = other.mean[:, old] - self.mean[:, new]
        mean[:, new] += apart * share
        squares[:, new] += other.squares[:, old] + apart * apart * share * self.count[:, new]
        return Moments(count, mean, squares)

    def std(self, ddof: int, at_least: float, noise: float | Floats = 0.0) -> Floats:
        """Compute standard deviations.

        Args:
            ddof: 0 for the population, 1 for a sample.
            at_least: the smallest number of values.
            noise: how much rounding may have moved each value, where values are results and not given numbers. A
                smaller spread counts as flat: exactly 0.

        Returns:
            The standard deviations; NaN with fewer values.
        """
        spread = self.squares / np.maximum(self.count - ddof, 1)
        if not np.isscalar(noise) or noise:
            np.copyto(spread, 0.0, where=flat(self.squares, self.count, noise))
        np.sqrt(spread, out=spread)
        np.copyto(spread, np.nan, where=self.count < max(at_least, ddof + 1))
        return spread


@dataclass(frozen=True)
class WindowSums:
    """Counts, sums and sums of squares of the non-NaN values of one array, in windows of each size."""

    array: Floats
    present: Flags
    counts: dict[int, Counts]
    totals: dict[int, Floats]
    squares: dict[int, Floats]

    @classmethod
    def of(cls, array: Floats, *sizes: int) -> WindowSums:
        """Compute the sums of an array in windows of the last ``size`` columns, for each size."""
        present = ~np.isnan(array)
        filled = np.where(present, array, 0.0)
        counts, totals = rolling_counts(present, *sizes), rolling_sums(filled, *sizes)
        squares = rolling_sums(filled * filled, *sizes)
        return cls(array, present, *(dict(zip(sizes, found, strict=True)) for found in (counts, totals, squares)))  # type: ignore[arg-type]

    def moments(self, size: int) -> Moments:
        """Compute the moments of the windows of one size; cells that would lose digits are merged pairwise."""
        mean, left, doubtful = centred(size, self.counts[size], self.totals[size], self.squares[size])
        rows = np.flatnonzero(doubtful.any(axis=1))
        if len(rows):
            (merged,) = over_windows(Moments.of(self.array[rows]), [size], Moments.with_older)
            cells = doubtful[rows]
            for found, sure in ((mean, merged.mean), (left, merged.squares)):
                found[rows] = np.where(cells, sure, found[rows])
        return Moments(self.counts[size], mean, left)


def flat(squares: Floats, count: Floats | Counts, noise: float | Floats) -> Flags:
    """Find where the squared deviations of ``count`` values are no more than their ``noise`` explains."""
    return np.asarray(squares <= np.multiply(count, np.square(noise), dtype=np.float64))


def rolling_moments(array: Floats, *sizes: int) -> list[Moments]:
    """Compute moments of the non-NaN values in the last ``size`` columns, one per size.

    The result of a window with less than half of its columns is not exact; callers mask such windows.

    Args:
        array: coins x hours.
        *sizes: numbers of columns.

    Returns:
        The moments, in the order of the sizes.
    """
    sums = WindowSums.of(array, *sizes)
    return [sums.moments(size) for size in sizes]


def centred(size: int, count: Counts, total: Floats, squares: Floats) -> tuple[Floats, Floats, Flags]:
    """Compute means and sums of squared deviations from sums of values and of squares.

    Args:
        size: the number of columns of a window.
        count: the number of values.
        total: the sum of the values.
        squares: the sum of their squares.

    Returns:
        Means, sums of squared deviations, and where too many digits were lost.
    """
    mean = total / np.maximum(count, 1)
    left = np.subtract(squares, mean * total)
    doubtful = left < KEPT * squares
    if doubtful.any():
        doubtful &= count >= ENOUGH * size
    return mean, left, doubtful
