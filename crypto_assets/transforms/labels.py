"""Labels for training: forward returns and triple barriers. Labels look ahead; features never do.

Labels belong only to training sets: no table stores them, and no feature may read them. Prices are those at hour marks.
A price counts only if it was available by ``known_by``, so that nothing later than the end of a training set enters it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.features.feature import NEAR_MARK
from crypto_assets.features.seams import seams_of
from crypto_assets.tables.contract import TIMESTAMP

HOUR = timedelta(hours=1)
VOLATILITY = "volatility_24h"  # standard deviation of hourly log returns, known at ts: the unit of the barriers
REFERENCE = "López de Prado, Advances in Financial Machine Learning, 2018, ch. 3"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Horizon:
    """How far a label looks ahead: whole hours, and the text in its column names (``24h``, ``7d``)."""

    hours: int
    text: str

    @property
    def span(self) -> timedelta:
        """The horizon as a time span."""
        return HOUR * self.hours

    @property
    def columns(self) -> dict[str, str]:
        """Label column -> its definition."""
        return {
            f"forward_return_{self.text}": f"p(ts + {self.text}) / p(ts) - 1 of prices.price_usd; a fraction",
            f"triple_barrier_{self.text}": "1: the upper barrier is touched first, -1: the lower, 0: neither by the "
            "end; null where it cannot be known",
            f"triple_barrier_{self.text}_ts": "hour mark at which the barrier label was decided",
            "label_available_at": f"instant from which the price at ts + {self.text} was known",
        }


def label(
    rows: pl.DataFrame, prices: pl.DataFrame, horizon: Horizon, *, barrier: float, known_by: datetime
) -> pl.DataFrame:
    """Add the label columns of a horizon; rows without a forward return are dropped.

    The return is simple, between the prices at ``ts`` and exactly ``ts`` + horizon. A missing hour gives no label. A
    price that was observed more than ``NEAR_MARK`` after its hour mark counts as missing, as in the returns among the
    features. Nor does a return reach over a seam (:mod:`crypto_assets.features.seams`).

    The barriers lie ``barrier`` x volatility_24h x sqrt(hours) above and below p(ts), with the volatility known at ts.
    The third barrier is at ts + horizon (see ``REFERENCE``). An hour that is missing before the first touch makes the
    barrier label null, because a touch in it would not have been seen. An unknown or zero volatility does the same.

    Args:
        rows: symbol, ts, volatility_24h and further columns.
        prices: rows of ``prices``.
        horizon: how far the labels look ahead.
        barrier: the distance of the barriers, in standard deviations of the horizon's log return.
        known_by: prices with a later ``available_at`` do not count.

    Returns:
        The rows with the label columns.
    """
    near = pl.col("available_at") - pl.col("ts") <= NEAR_MARK
    known = prices.filter((pl.col("available_at") <= known_by) & near).select(
        "symbol", "ts", "price_usd", "available_at"
    )
    ends = known.select("symbol", ts=pl.col("ts") - horizon.span, _then="price_usd", label_available_at="available_at")
    returned, barriers, decided, known_from = horizon.columns
    found = (
        rows.join(known.select("symbol", "ts", _now="price_usd"), on=["symbol", "ts"], how="inner")
        .join(ends, on=["symbol", "ts"], how="inner")
        .with_columns((pl.col("_then") / pl.col("_now") - 1).alias(returned))
        .sort("ts", "symbol")
    )
    found = _on_one_side(found, seams_of(known, "price_usd"), horizon)
    width = found[VOLATILITY].cast(pl.Float64).to_numpy() * math.sqrt(horizon.hours) * barrier
    side, hours, seen = _first_touches(found, known, horizon.hours, width)
    there = pl.Series(seen, dtype=pl.Boolean)
    return found.with_columns(
        pl.when(there).then(pl.Series(side, dtype=pl.Int8)).alias(barriers),
        pl.when(there).then((pl.col("ts") + pl.Series(hours) * HOUR).cast(TIMESTAMP)).alias(decided),
    ).select(*rows.columns, returned, barriers, decided, known_from)


def _on_one_side(rows: pl.DataFrame, seams: pl.DataFrame, horizon: Horizon) -> pl.DataFrame:
    """Return the rows between whose ``ts`` and the end of the horizon no seam of their coin lies."""
    if seams.is_empty():
        return rows
    following = seams.select("symbol", _seam="ts").sort("_seam")
    joined = rows.join_asof(
        following,
        left_on="ts",
        right_on="_seam",
        by="symbol",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,  # both are in order of time, which Polars does not see within groups
    )
    return joined.filter((pl.col("_seam") > pl.col("ts") + horizon.span).fill_null(value=True)).drop("_seam")


def _first_touches(
    rows: pl.DataFrame, prices: pl.DataFrame, hours: int, width: Floats
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Return, per row, the side of the barrier touched first, after how many hours, and whether both can be known."""
    side, after = np.zeros(rows.height, dtype=np.int64), np.full(rows.height, hours, dtype=np.int64)
    seen = width > 0  # False for NaN
    if rows.is_empty():
        return side, after, seen
    grid, coin, first = _grid(prices, rows, hours)
    now = grid[coin, first]
    waiting = np.flatnonzero(seen)
    for hour in range(1, hours + 1):
        move = grid[coin[waiting], first[waiting] + hour] / now[waiting] - 1
        unseen, above, below = np.isnan(move), move >= width[waiting], move <= -width[waiting]
        seen[waiting[unseen]] = False
        side[waiting[above]], side[waiting[below]] = 1, -1
        touched = above | below
        after[waiting[touched]] = hour
        waiting = waiting[~(unseen | touched)]
    return side, after, seen


def _grid(prices: pl.DataFrame, rows: pl.DataFrame, hours: int) -> tuple[Floats, Ints, Ints]:
    """Lay out prices as coins x consecutive hours (NaN: none), with each row's place in it."""
    symbols = rows["symbol"].unique().sort().to_list()
    start = rows["ts"].min()
    place = (
        pl.col("symbol")
        .replace_strict(symbols, list(range(len(symbols))), default=None, return_dtype=pl.Int64)
        .alias("coin"),
        (pl.col("ts") - start).dt.total_hours().alias("hour"),
    )
    at = rows.select(*place)
    width = int(at["hour"].max()) + hours + 1  # type: ignore[arg-type]
    stored = prices.with_columns(*place).filter(pl.col("coin").is_not_null(), pl.col("hour").is_between(0, width - 1))
    grid = np.full((len(symbols), width), np.nan)
    grid[stored["coin"].to_numpy(), stored["hour"].to_numpy()] = stored["price_usd"].to_numpy()
    return grid, at["coin"].to_numpy(), at["hour"].to_numpy()
