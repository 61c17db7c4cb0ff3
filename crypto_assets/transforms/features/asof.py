"""As-of lookup of daily rows at hourly decision times: the newest date known and not stale, column by column.

Which columns and tables are looked up is in ``context.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from crypto_assets.transforms.features.grid import (
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
class DailyRows:
    """A daily table's rows, ordered by coin and date; per row the hour marks (since 1970) that may use it."""

    coin: Ints
    date_hour: Ints  # the hour that opens the row's date
    available: Ints  # microseconds since 1970
    columns: dict[str, Floats]


def daily_rows(frame: pl.DataFrame, symbols: tuple[str, ...], columns: list[str]) -> DailyRows:
    """The frame's rows of these coins; a market-wide table passes a constant ``symbol`` column."""
    rows = coin_numbers(frame.select("symbol", "date", "available_at", *columns), symbols)
    rows = rows.with_columns(micros("available_at"), pl.col("date").cast(pl.Date).to_physical().cast(pl.Int64))
    rows = rows.sort("coin", "date")
    return DailyRows(
        coin=rows["coin"].to_numpy(),
        date_hour=rows["date"].to_numpy() * HOURS_A_DAY,
        available=rows["available_at"].to_numpy(),
        columns={name: rows[name].cast(pl.Float64).to_numpy() for name in columns},
    )


def as_of(rows: DailyRows, column: str, grid: Grid, coins: slice, staleness: timedelta, oldest: int) -> Floats:
    """Coins x hours: the column's non-null value of the newest date, among rows with ``available_at`` <= decision.

    A value serves decisions up to ``staleness`` after its ``available_at``; and no date older than ``oldest`` days
    before the hour's own day is used, which is what the caller has loaded (so chunking does not show).
    """
    begin, stop = np.searchsorted(rows.coin, [coins.start, coins.stop])
    part = np.arange(begin, stop)[~np.isnan(rows.columns[column][begin:stop])]
    coin, day, available = rows.coin[part], rows.date_hour[part], rows.available[part]
    values = rows.columns[column][part]

    first = np.maximum(decision_hour(available), day)
    last = (available + staleness // MICROSECOND - DELAY_US) // HOUR_US
    last = np.minimum(last, day + (oldest + 1) * HOURS_A_DAY - 1)
    # The next date, if it did not come earlier, is used from its first hour to beyond this row's last.
    follows = np.zeros(len(part), dtype=np.bool_)
    follows[:-1] = (coin[1:] == coin[:-1]) & (available[1:] >= available[:-1])
    last[:-1] = np.where(follows[:-1], np.minimum(last[:-1], first[1:] - 1), last[:-1])

    first = np.clip(first - grid.first, 0, grid.hours)
    length = np.maximum(np.clip(last - grid.first + 1, 0, grid.hours) - first, 0)
    out = np.full((coins.stop - coins.start) * grid.hours, np.nan)
    opened = (coin - coins.start) * grid.hours + first
    offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    out[np.repeat(opened, length) + offset] = np.repeat(values, length)  # later dates are written later: they win
    return out.reshape(-1, grid.hours)
