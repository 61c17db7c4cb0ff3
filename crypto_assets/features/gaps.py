"""Hours without a bar, as the bar indicators see them: flat bars for as long as a hole is short, then nothing.

What is known at an hour decides: a hole that is open counts by its length so far. So a hole of thirty hours has flat
bars in its first twenty-four rows, none in the other six, and after it the indicators restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from crypto_assets.features.feature import FILL_HOURS, WEEK_HOURS
from crypto_assets.features.grid import Arrays, Flags, Floats, Ints
from crypto_assets.features.windows import rolling_counts, run_position, unbroken


def fill_gaps(bars: Mapping[str, Floats]) -> tuple[Arrays, Flags | None]:
    """The bars with flat ones in the first :data:`FILL_HOURS` hours of each hole, and where they are (None: nowhere).

    A flat bar opens, closes and stays at the close before it. Its volume is 0; unknown where the bar before it has none
    either, since a source that gives no volume does not say that nothing traded.

    Args:
        bars: open, high, low, close (quote), volume (base units), coins x hours; NaN where there is no bar.
    """
    close = bars["close"]
    missing = np.isnan(close)
    if not missing.any():
        return dict(bars), None
    column = np.arange(close.shape[1])
    newest = np.maximum.accumulate(np.where(missing, -1, column), axis=1)
    flat = missing & (newest >= 0) & (column - newest <= FILL_HOURS)
    coin, hour = np.nonzero(flat)
    if not len(coin):
        return dict(bars), None
    before = newest[coin, hour]
    level = close[coin, before]
    filled: Arrays = {}
    for name, array in bars.items():
        filled[name] = array.copy()
        filled[name][coin, hour] = level if name != "volume" else 0.0 * array[coin, before]
    return filled, flat


def filled_in_week(close: Floats, flat: Flags | None) -> Arrays:
    """``bars_filled_7d``: flat bars among the last 168 hours, of holes that are no longer than allowed so far.

    Args:
        close: Of the bars as given, coins x hours; NaN where there is none.
        flat: What :func:`fill_gaps` says of them.
    """
    present = ~np.isnan(close)
    (seen,) = rolling_counts(present, WEEK_HOURS)
    if flat is None:
        return {"bars_filled_7d": np.where(np.broadcast_to(seen, close.shape) > 0, 0.0, np.nan)}
    age = run_position(~present) + 1  # of a missing hour: hours since the last bar; else 0
    too_long = _outgrown(age, flat)
    (counted,) = rolling_counts(flat & ~too_long, WEEK_HOURS)
    # In its first hours a hole that will outgrow the limit counts like any other: nobody knows it yet.
    value = counted + np.where(flat & too_long, age, 0)
    return {"bars_filled_7d": np.where(seen > 0, value.astype(np.float64), np.nan)}


def _outgrown(age: Ints, flat: Flags) -> Flags:
    """Flat hours of holes that reach beyond the limit in the end."""
    coin, hour = np.nonzero(age == FILL_HOURS + 1)
    out = np.zeros_like(flat)
    for back in range(1, FILL_HOURS + 1):
        inside = hour >= back
        out[coin[inside], hour[inside] - back] = True
    return out & flat


def each_run_alone(kernel: Callable[[Arrays], Arrays], bars: Arrays, position: Ints) -> Arrays:
    """The kernel's columns, each computed from the bars of its own run alone: for windows that may lack some values.

    Args:
        kernel: From bars to columns.
        bars: Coins x hours, short holes filled.
        position: Of each hour in its run of bars; -1 where there is none.

    Returns:
        The columns; NaN where there is no run.
    """
    out = kernel(bars)
    if unbroken(position):
        return out
    out = {name: np.where(position >= 0, array, np.nan) for name, array in out.items()}
    coin, begin = np.nonzero((position == 0) & (np.cumsum(position >= 0, axis=1) > 1))
    if not len(coin):
        return out
    column = np.arange(position.shape[1])
    # A row of its own for each run that follows another: what was before it is not there.
    alone = kernel({name: np.where(column >= begin[:, None], array[coin], np.nan) for name, array in bars.items()})
    run = np.cumsum((position == 0)[coin], axis=1)
    run, hour = np.nonzero((run == run[np.arange(len(coin)), begin][:, None]) & (position[coin] >= 0))
    for name, array in out.items():
        array[coin[run], hour] = alone[name][run, hour]
    return out
