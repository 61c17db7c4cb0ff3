"""As-of join of rows at hourly decision times: the newest row that is known and not stale, column by column.

``context.py`` says which columns and tables are joined.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from crypto_assets.features.grid import (
    DELAY_US,
    HOUR_US,
    HOURS_A_DAY,
    MICROSECOND,
    Floats,
    Grid,
    Ints,
    coin_numbers,
    decision_hour,
    micros,
)


@dataclass(frozen=True)
class KnownRows:
    """The rows of a table in order of coin and time, each with the instant from which it is known."""

    coin: Ints
    hour: Ints  # the hour mark (since 1970) that the row is about; for a day, its first hour
    available: Ints  # microseconds since 1970
    columns: dict[str, Floats]


def known_rows(frame: pl.DataFrame, symbols: tuple[str, ...], columns: list[str]) -> KnownRows:
    """Order the rows of these coins for as-of joins.

    Args:
        frame: daily rows (with ``date``) or hourly rows (with ``ts``); a market-wide table has a constant ``symbol``
            column.
        symbols: the coins, in the order of the grid.
        columns: the columns to keep.

    Returns:
        The rows.
    """
    if "ts" in frame.columns:
        hour = micros("ts") // HOUR_US
    else:
        hour = pl.col("date").cast(pl.Date).to_physical().cast(pl.Int64) * HOURS_A_DAY
    rows = coin_numbers(frame.select("symbol", "available_at", *columns, hour=hour), symbols)
    rows = rows.with_columns(micros("available_at")).sort("coin", "hour")
    return KnownRows(
        coin=rows["coin"].to_numpy(),
        hour=rows["hour"].to_numpy(),
        available=rows["available_at"].to_numpy(),
        columns={name: rows[name].cast(pl.Float64).to_numpy() for name in columns},
    )


def as_of(rows: KnownRows, column: str, grid: Grid, coins: slice, staleness: timedelta, oldest: int) -> Floats:
    """Join one column as-of: the non-null value of the newest row with ``available_at`` <= decision time.

    A value serves decisions up to ``staleness`` after its ``available_at``. A row of a day more than ``oldest`` days
    before the day of the hour is never used. This is what the caller has loaded, so that chunking does not show.

    Args:
        rows: the rows of the table.
        column: the column.
        grid: the output hours.
        coins: the coins to compute.
        staleness: how long a value serves after it became available.
        oldest: days before the hour's own day.

    Returns:
        Coins x hours; NaN where no value serves.
    """
    begin, stop = np.searchsorted(rows.coin, [coins.start, coins.stop])
    part = np.arange(begin, stop)[~np.isnan(rows.columns[column][begin:stop])]
    coin, hour, available = rows.coin[part], rows.hour[part], rows.available[part]
    values = rows.columns[column][part]

    first = np.maximum(decision_hour(available), hour)
    last = (available + staleness // MICROSECOND - DELAY_US) // HOUR_US
    last = np.minimum(last, (hour // HOURS_A_DAY + oldest + 1) * HOURS_A_DAY - 1)
    # The next row, unless it was available earlier, serves from its first hour to beyond the last hour of this row.
    follows = np.zeros(len(part), dtype=np.bool_)
    follows[:-1] = (coin[1:] == coin[:-1]) & (available[1:] >= available[:-1])
    last[:-1] = np.where(follows[:-1], np.minimum(last[:-1], first[1:] - 1), last[:-1])

    first = np.clip(first - grid.first, 0, grid.hours)
    length = np.maximum(np.clip(last - grid.first + 1, 0, grid.hours) - first, 0)
    out = np.full((coins.stop - coins.start) * grid.hours, np.nan)
    opened = (coin - coins.start) * grid.hours + first
    offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    out[np.repeat(opened, length) + offset] = np.repeat(values, length)  # later rows are written later, so they win
    return out.reshape(-1, grid.hours)
