"""Panels as arrays of hours x coins: what was known or happened at an hour lies in one row, NaN where there is nothing.

Statistics of an hour are then operations along a row, over all hours at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
HOUR = np.timedelta64(1, "h")


def lay_out(rows: pl.DataFrame, column: str, first: np.datetime64, hours: int, coins: Sequence[str]) -> Floats:
    """Lay out a column of a table of coin x hour.

    Args:
        rows: symbol, ts (hour marks) and the column; at most one row a coin and hour. Rows elsewhere are left out.
        column: numbers.
        first: hour mark of the first row of the array.
        hours: number of its rows.
        coins: symbols of its columns, ascending.

    Returns:
        hours x coins; NaN where there is no row or the value is null.
    """
    found = np.full((hours, len(coins)), np.nan)
    if rows.is_empty() or not coins:
        return found
    hour = (rows["ts"].dt.replace_time_zone(None).to_numpy() - first) // HOUR
    symbols = rows["symbol"].to_numpy()
    names = np.array(coins, dtype=object)
    coin = np.minimum(np.searchsorted(names, symbols), len(coins) - 1)
    kept = (hour >= 0) & (hour < hours) & (names[coin] == symbols)
    values = rows[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    found[hour[kept], coin[kept]] = values[kept]
    return found


@dataclass(frozen=True)
class Layout:
    """Where each row of a table lies in an array with a line for each hour, whose rows lie from the left.

    Attributes:
        hours: one a line, ascending.
        width: the most rows of an hour.
        place: of each row in the flat array.
    """

    hours: pl.Series
    width: int
    place: Ints

    @classmethod
    def of(cls, ts: pl.Series) -> Layout:
        """Lay out rows by their hours; rows of one hour need not lie together."""
        order = ts.arg_sort().to_numpy()
        ordered = ts.gather(order)
        starts = np.flatnonzero((ordered != ordered.shift(1)).fill_null(value=True).to_numpy())
        sizes = np.diff(np.append(starts, len(order)))
        width = int(sizes.max(initial=0))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order)) + np.repeat(np.arange(len(starts)) * width - starts, sizes)
        return cls(ordered.gather(starts), width, place)

    def lay(self, values: Floats) -> Floats:
        """Return one value a row as hours x width; NaN where an hour has no more rows."""
        laid = np.full(len(self.hours) * self.width, np.nan)
        laid[self.place] = values
        return laid.reshape(len(self.hours), self.width)

    def pick(self, laid: Floats) -> Floats:
        """Return an array of hours x width as one value a row."""
        picked: Floats = laid.reshape(-1)[self.place]
        return picked


def by_hour(ts: pl.Series, *columns: Floats) -> tuple[pl.Series, tuple[Floats, ...]]:
    """Lay out rows of any coins hour by hour.

    Args:
        ts: hour of each row; rows of one hour need not lie together.
        columns: one value a row each.

    Returns:
        The hours, ascending, and each column as hours x the most rows of an hour, NaN where an hour has no more.
    """
    layout = Layout.of(ts)
    return layout.hours, tuple(layout.lay(column) for column in columns)


def row_ranks(values: Floats) -> Floats:
    """Rank the values of each row from 1 upwards; ties share their mean rank, NaN stays NaN."""
    if not values.size:
        return values.copy()
    order = np.argsort(values, axis=1)  # NaN goes last
    ordered = np.take_along_axis(values, order, axis=1)
    width = values.shape[1]
    changes = ordered[:, 1:] != ordered[:, :-1]
    place = np.arange(width)
    if changes.all():  # no ties, as almost always
        mean = np.broadcast_to(place, values.shape)
    else:
        edge = np.ones((len(values), 1), dtype=bool)
        first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), place, 0), axis=1)
        last = np.where(np.hstack([changes, edge]), place, width - 1)
        last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
        mean = (first + last) / 2
    ranks = np.empty(values.shape)
    ranks.reshape(-1)[(order + np.arange(len(values))[:, None] * width).reshape(-1)] = (mean + 1).reshape(-1)
    ranks[np.isnan(values)] = np.nan
    return ranks


def row_correlations(one: Floats, other: Floats) -> Floats:
    """Correlate two arrays row by row, over the cells that both have.

    Returns:
        Pearson's coefficient of each row; NaN where one side does not vary.
    """
    known = ~(np.isnan(one) | np.isnan(other))
    count = np.maximum(known.sum(axis=1), 1)

    def centred(values: Floats) -> Floats:
        kept = np.where(known, values, 0.0)
        deviation: Floats = np.where(known, kept - (kept.sum(axis=1) / count)[:, None], 0.0)
        return deviation

    x, y = centred(one), centred(other)
    xy, xx, yy = (np.einsum("ij,ij->i", a, b) for a, b in ((x, y), (x, x), (y, y)))
    vary = _varies(one, known) & _varies(other, known)
    return np.divide(xy, np.sqrt(xx * yy), out=np.full(len(one), np.nan), where=vary & (xx * yy > 0))


def _varies(values: Floats, known: Flags) -> Flags:
    """Say of each row whether its known values differ: a sum of squares of equal values is not always exactly 0."""
    lowest = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    highest = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    return np.asarray(highest > lowest)
