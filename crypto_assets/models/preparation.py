"""Features as models read them: ranked within the hour, as they are, or cut and scaled by what the training rows showed.

Ranks need nothing from other hours, so they are the same whatever a model was trained on. A feature that all coins of an
hour share has no rank; trees read it as it is, because they depend on the order of its values only. Scaling needs limits,
and these are fitted on training rows only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.errors import ModelError
from crypto_assets.models.grid import Layout, row_ranks
from crypto_assets.models.market_state import with_state

Matrix = NDArray[np.float32]
BLOCK = 65_536  # rows
CUT = 0.01  # share of the training values beyond each limit


def as_read(rows: pl.DataFrame, features: Sequence[str], shared: Collection[str] = ()) -> Matrix:
    """Return features as models read them.

    Args:
        rows: ts and the columns that the features are made of (``market_state.columns_of``); all coins of each hour, in
            any order.
        features: columns of the matrix.
        shared: those that all coins of an hour share; they stay as they are, the others are ranked within the hour.

    Returns:
        rows x features, float32, NaN where unknown.
    """
    if not shared:
        return ranked(rows, features)
    rows = with_state(rows, [name for name in features if name in shared])
    found = np.empty((rows.height, len(features)), dtype=np.float32)
    for prepare, chosen in ((raw, True), (ranked, False)):
        places = [place for place, name in enumerate(features) if (name in shared) == chosen]
        if places:
            found[:, places] = prepare(rows, [features[place] for place in places])
    return found


def ranked(rows: pl.DataFrame, features: Sequence[str]) -> Matrix:
    """Rank each feature among the coins of its hour.

    Args:
        rows: ts and the features; any order. Null and NaN are unknown.
        features: columns to rank.

    Returns:
        rows x features, float32: (rank - 1/2) / known - 1/2, so from above -0.5 to below 0.5 with mean 0 in each hour;
        ties share their mean rank; NaN where the feature is unknown.
    """
    layout = Layout.of(rows["ts"])
    found = np.empty((rows.height, len(features)), dtype=np.float32)
    for number, feature in enumerate(features):
        laid = layout.lay(rows[feature].cast(pl.Float64).fill_null(float("nan")).to_numpy())
        known = np.maximum((~np.isnan(laid)).sum(axis=1, keepdims=True), 1)
        found[:, number] = layout.pick((row_ranks(laid) - 0.5) / known - 0.5)
    return found


def raw(rows: pl.DataFrame, features: Sequence[str]) -> Matrix:
    """Return features as they are: rows x features, float32, NaN where unknown or infinite."""
    matrix = _matrix(rows.select(pl.col(features).cast(pl.Float64)))
    # A new matrix: that of a single column may be the memory of the rows.
    return np.where(np.isfinite(matrix), matrix, np.float32("nan"))


@dataclass(frozen=True)
class Scaling:
    """Limits, mean and spread of each feature among training rows.

    Attributes:
        low: values below are cut to it; one a feature.
        high: values above are cut to it.
        mean: of the cut values.
        spread: standard deviation of the cut values; 1 where it is 0.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, training: Matrix, cut: float = CUT) -> Scaling:
        """Measure training rows.

        Args:
            training: rows x features, NaN where unknown.
            cut: share of the values beyond each limit, below one half.

        Raises:
            ModelError: a feature has no value in the training rows.
        """
        empty = np.flatnonzero(np.isnan(training).all(axis=0))
        if empty.size:
            raise ModelError(f"feature number {int(empty[0])} has no value in the training rows: leave it out")
        low, high = np.nanquantile(training.astype(np.float64), [cut, 1 - cut], axis=0)
        inside = np.clip(training.astype(np.float64), low, high)
        spread = np.nanstd(inside, axis=0)
        columns = (low, high, np.nanmean(inside, axis=0), np.where(spread > 0, spread, 1.0))
        return cls(*(tuple(float(value) for value in column) for column in columns))

    def apply(self, matrix: Matrix) -> Matrix:
        """Cut and scale rows: rows x features, NaN stays."""
        inside = np.clip(matrix, np.array(self.low, np.float32), np.array(self.high, np.float32))
        return ((inside - np.array(self.mean, np.float32)) / np.array(self.spread, np.float32)).astype(np.float32)


def usable(matrix: Matrix, features: Sequence[str], share: float) -> list[str]:
    """Return the features that vary and are known in at least a share of the training rows, in their order."""
    counts = np.zeros(len(features))
    lowest, highest = np.full(len(features), np.inf), np.full(len(features), -np.inf)
    for start in range(0, len(matrix), BLOCK):  # a copy of a block at a time
        block = matrix[start : start + BLOCK]
        known = ~np.isnan(block)
        counts += known.sum(axis=0)
        lowest = np.minimum(lowest, np.where(known, block, np.inf).min(axis=0))
        highest = np.maximum(highest, np.where(known, block, -np.inf).max(axis=0))
    keep = (counts >= share * max(len(matrix), 1)) & (highest > lowest)
    return [feature for feature, kept in zip(features, keep, strict=True) if kept]


def _matrix(columns: pl.DataFrame) -> Matrix:
    """Return columns as float32, rows next to each other in memory, null as NaN."""
    return np.ascontiguousarray(columns.select(pl.all().cast(pl.Float32).fill_null(float("nan"))).to_numpy())
