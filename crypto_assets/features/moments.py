"""Count, mean and spread of the values in a window, by two ways of which each cell takes the cheaper one it can afford.

Sums of values and of squares cost a few additions, and lose digits where the mean is large beside the spread; windows
merged pairwise (Chan, Golub, LeVeque 1983) lose none and cost many times as much. A cell's way depends on its window
alone, like everything in ``windows.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crypto_assets.features.grid import Flags, Floats
from crypto_assets.features.windows import Counts, over_windows, rolling_counts, rolling_sums

KEPT = 1e-3  # share of the sum of squares that must be left without the mean's part: three of sixteen digits are lost
ENOUGH = 0.5  # share of a window's columns below which no caller uses it, so that its digits are let go


@dataclass(frozen=True)
class Moments:
    """Of windows: how many values, their mean, the sum of squared deviations from it (of a flat window exactly 0)."""

    count: Floats | Counts
    mean: Floats
    squares: Floats

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

    def std(self, ddof: int, at_least: float, noise: float | Floats = 0.0) -> Floats:
        """Standard deviation; NaN where fewer than ``at_least`` values were seen.

        ``noise``: by how much rounding may have moved each value, where they are results and not given numbers. What
        spreads no further counts as flat: 0 exactly.
        """
        spread = self.squares / np.maximum(self.count - ddof, 1)
        if not np.isscalar(noise) or noise:
            np.copyto(spread, 0.0, where=flat(self.squares, self.count, noise))
        np.sqrt(spread, out=spread)
        np.copyto(spread, np.nan, where=self.count < max(at_least, ddof + 1))
        return spread


@dataclass(frozen=True)
class WindowSums:
    """Of one array's non-NaN values in windows of each size: counts, sums, and sums of squares."""

    array: Floats
    present: Flags
    counts: dict[int, Counts]
    totals: dict[int, Floats]
    squares: dict[int, Floats]

    @classmethod
    def of(cls, array: Floats, *sizes: int) -> WindowSums:
        present = ~np.isnan(array)
        filled = np.where(present, array, 0.0)
        counts, totals = rolling_counts(present, *sizes), rolling_sums(filled, *sizes)
        squares = rolling_sums(filled * filled, *sizes)
        return cls(array, present, *(dict(zip(sizes, found, strict=True)) for found in (counts, totals, squares)))  # type: ignore[arg-type]

    def moments(self, size: int) -> Moments:
        mean, left, doubtful = centred(size, self.counts[size], self.totals[size], self.squares[size])
        rows = np.flatnonzero(doubtful.any(axis=1))
        if len(rows):
            (merged,) = over_windows(Moments.of(self.array[rows]), [size], Moments.with_older)
            cells = doubtful[rows]
            for found, sure in ((mean, merged.mean), (left, merged.squares)):
                found[rows] = np.where(cells, sure, found[rows])
        return Moments(self.counts[size], mean, left)


def flat(squares: Floats, count: Floats | Counts, noise: float | Floats) -> Flags:
    """Where the squared deviations of so many values are no more than their ``noise`` explains."""
    return np.asarray(squares <= np.multiply(count, np.square(noise), dtype=np.float64))


def rolling_moments(array: Floats, *sizes: int) -> list[Moments]:
    """Moments of the non-NaN values in the last ``size`` columns, one per size.

    Windows with less than half of their columns hold what they hold; callers mask them.
    """
    sums = WindowSums.of(array, *sizes)
    return [sums.moments(size) for size in sizes]


def centred(size: int, count: Counts, total: Floats, squares: Floats) -> tuple[Floats, Floats, Flags]:
    """Mean and sum of squared deviations from sums of values and of squares; and where too many digits went."""
    mean = total / np.maximum(count, 1)
    left = np.subtract(squares, mean * total)
    doubtful = left < KEPT * squares
    if doubtful.any():
        doubtful &= count >= ENOUGH * size
    return mean, left, doubtful
