"""Rolling measures of two series, and of the path within a window. Merged over windows as in ``windows.py``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crypto_assets.transforms.features.grid import Floats
from crypto_assets.transforms.features.moments import centred
from crypto_assets.transforms.features.windows import Counts, over_windows, rolling_counts, rolling_sums


@dataclass(frozen=True)
class CoMoments:
    """Count, means, and sums of squared deviations and of their products, of windows over hours that have both."""

    count: Floats | Counts
    x: Floats
    y: Floats
    xx: Floats
    yy: Floats
    xy: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats) -> CoMoments:
        both = ~(np.isnan(x) | np.isnan(y))
        zero = np.zeros_like(x)
        return cls(both.astype(np.float64), np.where(both, x, 0.0), np.where(both, y, 0.0), zero, zero, zero)

    def with_older(self, other: CoMoments, columns: int) -> CoMoments:
        """These windows joined with ``other``'s windows that end ``columns`` before."""
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

    def beta(self, at_least: float) -> Floats:
        """Slope of y on x; NaN below ``at_least`` hours or where x did not move."""
        usable = (self.count >= at_least) & (self.xx > 0)
        return np.divide(self.xy, self.xx, out=np.full_like(self.xy, np.nan), where=usable)

    def correlation(self, at_least: float) -> Floats:
        """Pearson's r; NaN below ``at_least`` hours or where either did not move."""
        usable = (self.count >= at_least) & (self.xx > 0) & (self.yy > 0)
        scale = np.sqrt(self.xx) * np.sqrt(self.yy)
        found = np.divide(self.xy, scale, out=np.full_like(self.xy, np.nan), where=usable)
        return np.clip(found, -1.0, 1.0, out=found)


def rolling_comoments(x: Floats, y: Floats, *sizes: int) -> list[CoMoments]:
    """Co-moments of the last ``size`` columns, one per size; columns in which either is NaN do not count.

    ``x`` may be one row for all of ``y``. The two ways of ``moments.py``, chosen cell by cell as there.
    """
    known = ~np.isnan(x)
    both = known & ~np.isnan(y)
    own = (
        known if (both == known).all() else both
    )  # as long as y has every hour of x, x's sums are those of its one row
    x_, y_ = np.where(own, x, 0.0), np.where(both, y, 0.0)
    products = (x_, y_, x_ * x_, y_ * y_, x_ * y_)
    sums = [rolling_sums(array, *sizes) for array in products]
    counts = rolling_counts(both, *sizes)
    return [_comoments(x, y, *of_size) for of_size in zip(sizes, counts, *sums, strict=True)]


def _comoments(
    x: Floats, y: Floats, size: int, count: Counts, sx: Floats, sy: Floats, sxx: Floats, syy: Floats, sxy: Floats
) -> CoMoments:
    x_count = count[: len(sx)]  # where x's sums are one row, all rows have its hours
    x_mean, xx, x_lost = centred(size, x_count, sx, sxx)
    y_mean, yy, y_lost = centred(size, count, sy, syy)
    found = CoMoments(count, x_mean, y_mean, xx, yy, sxy - x_mean * sy)
    lost = x_lost | y_lost
    rows = np.flatnonzero(lost.any(axis=1))
    if not len(rows):
        return found
    start = CoMoments.of(np.broadcast_to(x, y.shape)[rows], y[rows])
    (merged,) = over_windows(start, [size], CoMoments.with_older)
    arrays = {}
    for name, sure in vars(merged).items():
        arrays[name] = np.broadcast_to(getattr(found, name), y.shape).copy()
        arrays[name][rows] = np.where(lost[rows], sure, arrays[name][rows])
    return CoMoments(**arrays)


@dataclass(frozen=True)
class _Path:
    highest: Floats
    lowest: Floats
    fall: Floats  # deepest fall from an earlier high within the window; 0: none

    def with_older(self, other: _Path, columns: int) -> _Path:
        new, old = slice(columns, None), slice(None, -columns)
        highest, lowest, fall = self.highest.copy(), self.lowest.copy(), self.fall.copy()
        across = self.lowest[:, new] / other.highest[:, old] - 1.0  # from a high in the older to a low in the newer
        fall[:, new] = np.fmin(np.fmin(fall[:, new], other.fall[:, old]), across)
        highest[:, new] = np.fmax(highest[:, new], other.highest[:, old])
        lowest[:, new] = np.fmin(lowest[:, new], other.lowest[:, old])
        return _Path(highest, lowest, fall)


def deepest_fall(array: Floats, size: int) -> Floats:
    """Lowest p / running high - 1 within the last ``size`` columns, NaN cells left out; at most 0."""
    path = _Path(array, array, np.where(np.isnan(array), np.nan, 0.0))
    return over_windows(path, [size], _Path.with_older)[0].fall
