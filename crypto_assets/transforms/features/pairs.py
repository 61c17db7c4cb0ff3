"""Rolling measures of two series, and of the path within a window. Merged over windows as in ``windows.py``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crypto_assets.transforms.features.grid import Floats
from crypto_assets.transforms.features.windows import bits


@dataclass(frozen=True)
class CoMoments:
    """Count, means, and sums of squared deviations and of their products, of windows over hours that have both."""

    count: Floats
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
        count, x, y, xx, yy, xy = (a.copy() for a in (self.count, self.x, self.y, self.xx, self.yy, self.xy))
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
        return np.clip(found, -1.0, 1.0)


def rolling_comoments(x: Floats, y: Floats, *sizes: int) -> list[CoMoments]:
    """Co-moments of the last ``size`` columns, one per size; columns in which either is NaN do not count."""
    levels = {1: CoMoments.of(x, y)}
    size = 1
    while 2 * size <= min(max(sizes), x.shape[1]):
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
    levels = {1: path}
    span = 1
    while 2 * span <= min(size, array.shape[1]):
        levels[2 * span] = levels[span].with_older(levels[span], span)
        span *= 2
    done, *rest = bits(size)
    total = levels[done]
    for bit in rest:
        total = total.with_older(levels[bit], done)
        done += bit
    return total.fall
