"""Hours without a bar, as bar indicators treat them: a gap is filled with flat bars while it is short.

Only what is known at an hour counts: the length of an open gap is its length so far. So a gap of thirty hours has flat
bars in its first twenty-four rows and none in the other six, and the indicators restart after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from crypto_assets.features.feature import FILL_HOURS, WEEK_HOURS
from crypto_assets.features.grid import Arrays, Flags, Floats, Ints
from crypto_assets.features.windows import rolling_counts, run_position, unbroken


def fill_gaps(bars: Mapping[str, Floats]) -> tuple[Arrays, Flags | None]:
    """Add flat bars in the first :data:`FILL_HOURS` hours of each gap.

    A flat bar has the close before the gap as open, high, low and close. Its volume is 0. It is unknown where the bar
    before has none either, because a source without volumes does not say that nothing traded.

    Args:
        bars: open, high, low, close (quote), volume (base units); coins x hours; NaN where there is no bar.

    Returns:
        The bars, and where they are flat (None: nowhere).
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
    """Compute ``bars_filled_7d``: flat bars among the last 168 hours, in gaps that are not too long so far.

    Args:
        close: the close of the bars as given; coins x hours; NaN where there is none.
        flat: the second result of :func:`fill_gaps`.

    Returns:
        The column.
    """
    present = ~np.isnan(close)
    (seen,) = rolling_counts(present, WEEK_HOURS)
    if flat is None:
        return {"bars_filled_7d": np.where(np.broadcast_to(seen, close.shape) > 0, 0.0, np.nan)}
    age = run_position(~present) + 1  # for a missing hour: hours since the last bar; else 0
    too_long = _outgrown(age, flat)
    (counted,) = rolling_counts(flat & ~too_long, WEEK_HOURS)
    # In its first hours a gap that will become too long counts like any other, because that is not known yet.
    value = counted + np.where(flat & too_long, age, 0)
    return {"bars_filled_7d": np.where(seen > 0, value.astype(np.float64), np.nan)}


def _outgrown(age: Ints, flat: Flags) -> Flags:
    """Find the flat hours of gaps that become too long in the end."""
    coin, hour = np.nonzero(age == FILL_HOURS + 1)
    out = np.zeros_like(flat)
    for back in range(1, FILL_HOURS + 1):
        inside = hour >= back
        out[coin[inside], hour[inside] - back] = True
    return out & flat


def each_run_alone(kernel: Callable[[Arrays], Arrays], bars: Arrays, position: Ints) -> Arrays:
    """Apply a kernel to each run of bars alone, for windows that may lack some values.

    Args:
        kernel: a function from bars to columns.
        bars: coins x hours, short gaps filled.
        position: the position of each hour in its run of bars; -1 where there is none.

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
    # Each run that follows another gets its own row, so that it does not see the bars before it.
    alone = kernel({name: np.where(column >= begin[:, None], array[coin], np.nan) for name, array in bars.items()})
    run = np.cumsum((position == 0)[coin], axis=1)
    run, hour = np.nonzero((run == run[np.arange(len(coin)), begin][:, None]) & (position[coin] >= 0))
    for name, array in out.items():
        array[coin[run], hour] = alone[name][run, hour]
    return out
