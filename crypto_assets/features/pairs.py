"""Rolling measures of two series, and of the path within a window. Windows are merged as in ``windows.py``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crypto_assets.features.grid import Floats
from crypto_assets.features.moments import WindowSums, centred, flat
from crypto_assets.features.windows import Counts, joined, over_windows, rolling_sums


@dataclass(frozen=True)
class CoMoments:
    """For each window: count, means, and sums of squared deviations and products, over the hours that have both series."""

    count: Floats | Counts
    x: Floats
    y: Floats
    xx: Floats
    yy: Floats
    xy: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats) -> CoMoments:
        """Return the co-moments of each cell alone; a cell where either is NaN does not count."""
        both = ~(np.isnan(x) | np.isnan(y))
        zero = np.zeros_like(x)
        return cls(both.astype(np.float64), np.where(both, x, 0.0), np.where(both, y, 0.0), zero, zero, zero)

    def with_older(self, other: CoMoments, columns: int) -> CoMoments:
        """Join each window with the window of ``other`` that ends ``columns`` before."""
        count = self.count.copy()
        x, y, xx, yy, xy = (a.copy() for a in (self.x, self.y, self.xx, self.yy, self.xy))
        new, old = slice(columns, None), slice(None, -columns)
        count[:, new] += other.count[:, old]
        share = other.count[:, old] / np.maximum(count[:, new], 1.0)
        dx, dy = other.x[:, old] - self.x[:, new], other.y[:, old] - self.y[:, new]
        x[:, new] += dx * share
        y[:, new] += dy * share
        weight = share * self.count[:, new]
        for total, older, product in ((xx, other.xx, dx * dx), (yy, other.yy, dy * dy), (xy, other.xy, dx * dy)):
            product *= weight
            product += older[:, old]
            total[:, new] += product
        return CoMoments(count, x, y, xx, yy, xy)

    def beta(self, at_least: float, noise: float = 0.0) -> Floats:
        """Compute the slope of y on x.

        Args:
            at_least: the smallest number of hours.
            noise: rounding of a value of x; a smaller spread counts as no movement.

        Returns:
            The slope; NaN with fewer hours, or where x did not move.
        """
        usable = (self.count >= at_least) & ~flat(self.xx, self.count, noise)
        return np.divide(self.xy, self.xx, out=np.full_like(self.xy, np.nan), where=usable)

    def correlation(self, at_least: float, noise: float = 0.0) -> Floats:
        """Compute Pearson's r.

        Args:
            at_least: the smallest number of hours.
            noise: rounding of a value; a smaller spread counts as no movement.

        Returns:
            r; NaN with fewer hours, or where either series did not move.
        """
        usable = (self.count >= at_least) & ~(flat(self.xx, self.count, noise) | flat(self.yy, self.count, noise))
        scale = np.sqrt(self.xx) * np.sqrt(self.yy)
        found = np.divide(self.xy, scale, out=np.full_like(self.xy, np.nan), where=usable)
        return np.clip(found, -1.0, 1.0, out=found)


def rolling_comoments(x: Floats, y: WindowSums, *sizes: int) -> list[CoMoments]:
    """Compute co-moments of the last ``size`` columns, one per size; columns in which either is NaN do not count.

    It uses the two ways of ``moments.py``, chosen cell by cell.

    Args:
        x: coins x hours, or one row for all coins.
        y: the sums of the other series.
        *sizes: numbers of columns.

    Returns:
        The co-moments, in the order of the sizes.
    """
    both = y.present & ~np.isnan(x)
    if not (both == y.present).all():
        y = WindowSums.of(np.where(both, y.array, np.nan), *sizes)
    alike = (both == both[:1]).all()  # then one row of x has the sums of all rows
    x_ = np.where(both[:1] if alike else both, x, 0.0)
    sums = [rolling_sums(array, *sizes) for array in (x_, x_ * x_, x_ * np.where(both, y.array, 0.0))]
    return [_comoments(x, y, *of_size) for of_size in zip(sizes, *sums, strict=True)]


def _comoments(x: Floats, y: WindowSums, size: int, sx: Floats, sxx: Floats, sxy: Floats) -> CoMoments:
    count, sy = y.counts[size], y.totals[size]
    x_mean, xx, x_lost = centred(size, count, sx, sxx)
    y_mean, yy, y_lost = centred(size, count, sy, y.squares[size])
    found = CoMoments(count, x_mean, y_mean, xx, yy, sxy - x_mean * sy)
    lost = x_lost | y_lost
    rows = np.flatnonzero(lost.any(axis=1))
    if not len(rows):
        return found
    shape = y.array.shape
    start = CoMoments.of(np.broadcast_to(x, shape)[rows], y.array[rows])
    (merged,) = over_windows(start, [size], CoMoments.with_older)
    arrays = {}
    for name, sure in vars(merged).items():
        arrays[name] = np.broadcast_to(getattr(found, name), shape).copy()
        arrays[name][rows] = np.where(lost[rows], sure, arrays[name][rows])
    return CoMoments(**arrays)


@dataclass(frozen=True)
class Path:
    """The highest and lowest value of each window, and its deepest fall: the smallest low / earlier high, 1 for none."""

    highest: Floats
    lowest: Floats
    fall: Floats

    def with_older(self, other: Path, columns: int) -> Path:
        """Join each window with the window of ``other`` that ends ``columns`` before."""
        new, old = slice(columns, None), slice(None, -columns)
        fall = np.empty_like(self.fall)
        fall[:, :columns] = self.fall[:, :columns]
        across = np.divide(self.lowest[:, new], other.highest[:, old], out=fall[:, new])  # older high to newer low
        np.fmin(across, self.fall[:, new], out=across)
        np.fmin(across, other.fall[:, old], out=across)
        highest = joined(np.fmax, self.highest, other.highest, columns)
        return Path(highest, joined(np.fmin, self.lowest, other.lowest, columns), fall)


def rolling_paths(array: Floats, *sizes: int) -> list[Path]:
    """Compute the path within the last ``size`` columns, one per size; NaN cells are left out.

    Args:
        array: coins x hours.
        *sizes: numbers of columns.

    Returns:
        The paths, in the order of the sizes.
    """
    return over_windows(Path(array, array, np.where(np.isnan(array), np.nan, 1.0)), sizes, Path.with_older)
