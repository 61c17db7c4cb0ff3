"""As-of lookup of rows at hourly decision times: the newest row known and not stale, column by column.

Which columns and tables are looked up is in ``context.py``.
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
    """A table's rows, ordered by coin and time, each with the instant from which it is known."""

    coin: Ints
    hour: Ints  # the hour mark (since 1970) that the row is about; of a day: its opening
    available: Ints  # microseconds since 1970
    columns: dict[str, Floats]


def known_rows(frame: pl.DataFrame, symbols: tuple[str, ...], columns: list[str]) -> KnownRows:
    """The frame's rows of these coins, daily (``date``) or hourly (``ts``); a market-wide table passes a constant
    ``symbol`` column."""
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
    """Coins x hours: the column's non-null value of the newest row, among rows with ``available_at`` <= decision.

    A value serves decisions up to ``staleness`` after its ``available_at``; and no row of a day older than ``oldest``
    days before the hour's own day is used, which is what the caller has loaded (so chunking does not show).
    """
    begin, stop = np.searchsorted(rows.coin, [coins.start, coins.stop])
    part = np.arange(begin, stop)[~np.isnan(rows.columns[column][begin:stop])]
    coin, hour, available = rows.coin[part], rows.hour[part], rows.available[part]
    values = rows.columns[column][part]

    first = np.maximum(decision_hour(available), hour)
    last = (available + staleness // MICROSECOND - DELAY_US) // HOUR_US
    last = np.minimum(last, (hour // HOURS_A_DAY + oldest + 1) * HOURS_A_DAY - 1)
    # The next row, if it did not come earlier, is used from its first hour to beyond this row's last.
    follows = np.zeros(len(part), dtype=np.bool_)
    follows[:-1] = (coin[1:] == coin[:-1]) & (available[1:] >= available[:-1])
    last[:-1] = np.where(follows[:-1], np.minimum(last[:-1], first[1:] - 1), last[:-1])

    first = np.clip(first - grid.first, 0, grid.hours)
    length = np.maximum(np.clip(last - grid.first + 1, 0, grid.hours) - first, 0)
    out = np.full((coins.stop - coins.start) * grid.hours, np.nan)
    opened = (coin - coins.start) * grid.hours + first
    offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    out[np.repeat(opened, length) + offset] = np.repeat(values, length)  # later rows are written later: they win
    return out.reshape(-1, grid.hours)
