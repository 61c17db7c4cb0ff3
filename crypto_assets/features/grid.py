"""The hourly grid: tables laid out as coins x consecutive hours, and from when each row was known.

Each column of a panel is an hour mark. An hour without a row is NaN, so a window of columns is a window of time.
Kernels are functions from such arrays to such arrays (``price.py``, ``technical.py``). Indicators do not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.errors import ContractError
from crypto_assets.tables.contract import TIMESTAMP
from crypto_assets.tables.schemas import DECISION_DELAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Arrays = dict[str, Floats]
Kernel = Callable[[Mapping[str, Floats]], Arrays]

MICROSECOND = timedelta(microseconds=1)
HOUR_US = timedelta(hours=1) // MICROSECOND
DELAY_US = DECISION_DELAY // MICROSECOND
HOURS_A_DAY = 24
EPOCH = date(1970, 1, 1)
BLOCK_CELLS = 1 << 16  # coins x hours computed together: arrays of 512 kB fit in the processor's cache


def hour_of(day: date) -> int:
    """Return the hours from 1970-01-01 to the beginning of the day."""
    return (day - EPOCH).days * HOURS_A_DAY


def decision_hour(instants: Ints) -> Ints:
    """Return the first hour mark whose row may use a value.

    Args:
        instants: when the values became known, in microseconds since 1970.

    Returns:
        Hours since 1970.
    """
    return -((DELAY_US - instants) // HOUR_US)  # ceiling of (instant - delay) / hour


@dataclass(frozen=True)
class Grid:
    """Coins in order, and consecutive hours; ``first`` (hours since 1970) is column 0."""

    symbols: tuple[str, ...]
    first: int
    hours: int


@dataclass(frozen=True)
class Panel:
    """One table on a grid.

    ``lateness`` counts for how many hour marks a row was still unknown after its own mark; None: all 0.
    """

    values: Arrays
    exists: Flags
    lateness: Ints | None

    def coins(self, part: slice) -> Panel:
        """Return the panel of some coins."""
        late = None if self.lateness is None else self.lateness[part]
        late = None if late is None or not late.any() else late
        return Panel({name: array[part] for name, array in self.values.items()}, self.exists[part], late)

    def one_for_all(self, coin: int, count: int, names: Mapping[str, str]) -> Panel:
        """Return columns of one coin, renamed, in each of ``count`` rows.

        Args:
            coin: the position of the coin.
            count: the number of rows.
            names: the column of the panel -> the new name.

        Returns:
            The panel.
        """
        alone = self.coins(slice(coin, coin + 1))
        shape = (count, self.exists.shape[1])
        late = None if alone.lateness is None else np.broadcast_to(alone.lateness, shape)
        values = {new: np.broadcast_to(alone.values[old], shape) for old, new in names.items()}
        return Panel(values, np.broadcast_to(alone.exists, shape), late)

    def at_own_hour(self, name: str) -> Floats:
        """Return a column, with NaN where the value was not known at the decision time of its own hour mark."""
        value = self.values[name]
        return value if self.lateness is None else np.where(self.lateness > 0, np.nan, value)


def coin_numbers(frame: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
    """Select the rows of some coins, and add ``coin``, the position of the symbol in ``symbols``.

    Args:
        frame: rows with a ``symbol``.
        symbols: the coins.

    Returns:
        The rows.
    """
    symbol = pl.col("symbol").cast(pl.String)
    return frame.filter(symbol.is_in(list(symbols))).with_columns(
        coin=symbol.cast(pl.Enum(list(symbols))).to_physical().cast(pl.Int64)
    )


def micros(name: str) -> pl.Expr:
    """Return an expression for a timestamp column in microseconds since 1970."""
    return pl.col(name).cast(TIMESTAMP).to_physical()


def panel(frame: pl.DataFrame, table: str, grid: Grid, columns: Sequence[str], *, delay_hours: int = 0) -> Panel:
    """Lay out a frame on the grid. Rows of other coins or hours are left out.

    Args:
        frame: hourly rows, with ``symbol``, ``ts`` and ``available_at``.
        table: the table's name, for error messages.
        grid: the grid.
        columns: the columns to lay out.
        delay_hours: a row is placed at ``ts`` plus this many hours (1 for bars: at their close).

    Returns:
        The panel.

    Raises:
        ContractError: a ``ts`` is not an hour mark, or a key occurs twice.
    """
    number = pl.col("symbol").cast(pl.String).cast(pl.Enum(list(grid.symbols)), strict=False).to_physical()
    keys = frame.select(number.cast(pl.Int64).fill_null(-1), micros("ts"), micros("available_at"))
    coin, ts, available = (keys[name].to_numpy() for name in keys.columns)
    if (ts[coin >= 0] % HOUR_US != 0).any():
        raise ContractError(
            f"{table}: ts is not an hour mark in some rows, so features cannot place them; fix the source"
        )
    hour = ts // HOUR_US + delay_hours
    on_grid = (coin >= 0) & (hour >= grid.first) & (hour < grid.first + grid.hours)
    chosen = None if on_grid.all() else on_grid
    if chosen is not None:
        coin, hour, available = coin[chosen], hour[chosen], available[chosen]

    shape = (len(grid.symbols), grid.hours)
    place = coin * grid.hours + (hour - grid.first)
    exists = np.zeros(shape, dtype=np.bool_)
    exists.reshape(-1)[place] = True
    if np.count_nonzero(exists) != len(place):
        raise ContractError(f"{table}: more than one row for a coin and hour; merge by key before computing features")
    late = np.maximum(decision_hour(available) - hour, 0)
    lateness = None
    if late.any():
        lateness = np.zeros(shape, dtype=np.int64)
        lateness.reshape(-1)[place] = late
    in_place = len(place) == exists.size and bool((np.diff(place) == 1).all())
    values = {name: scatter(frame[name], chosen, None if in_place else place, shape) for name in columns}
    return Panel(values, exists, lateness)


def scatter(column: pl.Series, chosen: Flags | None, place: Ints | None, shape: tuple[int, int]) -> Floats:
    """Place the values of a column in an array; NaN elsewhere and where they are null.

    Args:
        column: the column.
        chosen: which values to place; None for all.
        place: the flat positions in the array. With None the values fill the array in order and need not be copied.
        shape: the shape of the array.

    Returns:
        The array.
    """
    values = column.cast(pl.Float64).to_numpy()  # null becomes NaN
    if chosen is not None:
        values = values[chosen]
    if place is None:
        return values.reshape(shape)
    if not len(place):
        return np.broadcast_to(np.nan, shape)
    array = np.full(shape, np.nan)
    array.reshape(-1)[place] = values
    return array


def as_known(panels: Sequence[Panel], kernel: Kernel, window: int, first_out: int) -> Arrays:
    """Apply a kernel from column ``first_out`` on, each column computed from the rows known at its own decision time.

    Rows that were on time need one pass over the whole panels. For the hours during which some row was still unknown,
    the window is built again without that row and given to the same kernel. So late rows are exact, not approximated.

    Args:
        panels: the inputs, all of one shape.
        kernel: a function from the columns of all panels to new columns.
        window: the number of columns that the kernel uses for one output column, including its own.
        first_out: the first output column.

    Returns:
        Column -> coins x output hours.
    """
    whole = kernel({name: array for panel_ in panels for name, array in panel_.values.items()})
    result = {name: array[:, first_out:] for name, array in whole.items()}
    late = [_unsettled(panel_.lateness) for panel_ in panels if panel_.lateness is not None]
    if not late:
        return result
    coins, hours = np.nonzero(np.logical_or.reduce(late)[:, first_out:])
    for part in _parts(len(coins), max(1, BLOCK_CELLS // window)):
        coin, hour = coins[part], hours[part]
        rebuilt: Arrays = {}
        for panel_ in panels:
            rebuilt |= _windows(panel_, coin, hour + first_out, window)
        for name, array in kernel(rebuilt).items():
            result[name][coin, hour] = array[:, -1]
    return result


def _unsettled(lateness: Ints) -> Flags:
    """Find the hours at which a row of the same or an earlier hour was still unknown."""
    coins, hours = np.nonzero(lateness)
    until = np.minimum(hours + lateness[coins, hours], lateness.shape[1])
    steps = np.zeros((lateness.shape[0], lateness.shape[1] + 1), dtype=np.int64)
    np.add.at(steps, (coins, hours), 1)
    np.add.at(steps, (coins, until), -1)
    return np.asarray(np.cumsum(steps[:, :-1], axis=1) > 0)


def _windows(source: Panel, coin: Ints, hour: Ints, window: int) -> Arrays:
    age = np.arange(window - 1, -1, -1)
    columns = hour[:, None] - age
    inside = np.maximum(columns, 0)
    unknown = columns < 0
    if source.lateness is not None:
        unknown |= age < source.lateness[coin[:, None], inside]
    return {name: np.where(unknown, np.nan, array[coin[:, None], inside]) for name, array in source.values.items()}


def _parts(count: int, size: int) -> Iterator[slice]:
    for begin in range(0, count, size):
        yield slice(begin, begin + size)
