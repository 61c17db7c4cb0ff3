"""Seams: places where a series stops being about the same unit or the same coin, as far as its own rows tell.

A pair comes back after some hours at twice the level, or a level changes by a factor of ten from one hour to the next.
That is a redenomination or another coin far more often than a return. Until a row of the catalogue says what happened
(``crypto_assets/catalog/listings.csv``), no return, volatility, indicator or label reaches over it. Real collapses that
were recorded stay below these limits: the worst hour of LUNA in 2022 kept 13 % of the price, without a missing hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from crypto_assets.features.grid import Arrays, Flags, Floats

HOLE_HOURS = 6  # missing hours; outages of a whole venue were shorter (recorded 2018 to 2023), but for one of 33 hours
JUMP_OVER_HOLE = 2.0  # factor, up or down, from the last level before a hole to the first one after it
JUMP = 10.0  # factor from one level to the next one, whatever lies between


def is_seam(jump: Floats, opening: Floats, hours: Floats, running: Flags) -> Flags:
    """Decide whether a level begins something new.

    Args:
        jump: the level divided by the one before it.
        opening: the first price of the hour divided by the level before it; the same as ``jump`` where there is none.
        hours: the hours between the two; 1 where none is missing.
        running: whether the level before had a row in its own hour before. A hole is one of a series, not of single rows.

    Returns:
        True where it does; False where a value is unknown.
    """
    far = _beyond(jump, JUMP) & _beyond(opening, JUMP_OVER_HOLE)
    return far | (_beyond(opening, JUMP_OVER_HOLE) & (hours > HOLE_HOURS) & running)


def _beyond(ratio: Floats, factor: float) -> Flags:
    return np.asarray((ratio >= factor) | (ratio <= 1 / factor))


def seams(level: Floats, opening: Floats | None = None) -> Flags | None:
    """Find the hours at which a seam lies.

    Args:
        level: coins x hours; NaN where there is no row.
        opening: the first price of each hour; None: the level itself.

    Returns:
        True at the first hour after each seam; None where there is no seam at all.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        highest, lowest = np.fmax.reduce(level, axis=1), np.fmin.reduce(level, axis=1)
        if opening is not None:
            highest = np.fmax(highest, np.fmax.reduce(opening, axis=1))
            lowest = np.fmin(lowest, np.fmin.reduce(opening, axis=1))
        moved = np.flatnonzero(highest >= JUMP_OVER_HOLE * lowest)
        if not len(moved):
            return None
        found = np.zeros(level.shape, dtype=np.bool_)
        for coin in moved:
            hour = np.flatnonzero(~np.isnan(level[coin]))
            own = level[coin, hour]
            first = own if opening is None else opening[coin, hour]
            gap = np.diff(hour).astype(np.float64)
            seam = is_seam(own[1:] / own[:-1], first[1:] / own[:-1], gap, np.append(False, gap[:-1] == 1)[: len(gap)])
            found[coin, hour[1:][seam]] = True
    return found if found.any() else None


def each_side_alone(
    kernel: Callable[[Mapping[str, Floats]], Arrays], own: Sequence[str], level: str, opening: str | None = None
) -> Callable[[Mapping[str, Floats]], Arrays]:
    """Make a kernel that uses nothing from before the newest seam.

    Args:
        kernel: a function from coins x hours to columns.
        own: the input columns that belong to the coin; what lies before a seam in them is unknown after it.
        level: the column in which seams are looked for.
        opening: the column of the first prices; None: ``level``.

    Returns:
        The kernel.
    """

    def apart(values: Mapping[str, Floats]) -> Arrays:
        found = seams(values[level], None if opening is None else values[opening])
        out = kernel(values)
        if found is None:
            return out
        coin, hour = np.nonzero(found)
        column = np.arange(found.shape[1])
        after = column >= hour[:, None]
        alone = kernel(
            {
                name: np.where(after, array[coin], np.nan) if name in own else array[coin]
                for name, array in values.items()
            }
        )
        last = np.append(coin[1:] != coin[:-1], True)
        until = np.where(last, found.shape[1], np.append(hour[1:], 0))  # the next seam of the same coin
        seam, at = np.nonzero(after & (column < until[:, None]))
        for name, array in out.items():
            whole = array if array.flags.writeable else array.copy()
            whole[coin[seam], at] = alone[name][seam, at]
            out[name] = whole
        return out

    return apart


def seams_of(rows: pl.DataFrame, level: str, opening: str | None = None) -> pl.DataFrame:
    """Find the seams of a table.

    Args:
        rows: symbol, ts and the levels; hourly, of any coins.
        level: the column of the levels.
        opening: the column of the first prices; None: ``level``.

    Returns:
        One row per seam: symbol, ts (the first hour after it), before (the last hour before it), jump (the first price
        divided by the level before).
    """
    last, earlier = (pl.col(level).shift().over("symbol"), pl.col("ts").shift(2).over("symbol"))
    pairs = rows.filter(pl.col(level).is_not_null()).sort("symbol", "ts").select(
        "symbol", "ts", before=pl.col("ts").shift().over("symbol"), whole=pl.col(level) / last,
        jump=pl.col(opening or level) / last, earlier=earlier,
    ).drop_nulls("before")  # fmt: skip
    hours = (pairs["ts"] - pairs["before"]).dt.total_hours().cast(pl.Float64)
    running = ((pairs["before"] - pairs["earlier"]).dt.total_hours() == 1).fill_null(value=False)
    seam = is_seam(pairs["whole"].to_numpy(), pairs["jump"].to_numpy(), hours.to_numpy(), running.to_numpy())
    return pairs.filter(pl.Series(seam, dtype=pl.Boolean)).drop("whole", "earlier")
