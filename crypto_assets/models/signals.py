"""Scores of a model -> signals: target weights by the rule of ``portfolio.py``, damped over a fixed number of hours.

The weight of an hour is a mean of the target weights of the last ``HOURS`` hours, in which each hour counts
1 - ``trade`` times as much as the next. That is the recursion "go part of the way" with an end, so that a weight depends
on two days of scores and on nothing before: the same however the days are computed.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.models.portfolio import WeightRule, target_weights

Floats = NDArray[np.float64]
HOURS = 48
VOLATILITY = "volatility_7d"
STRONG, MEDIUM = 2 / 3, 1 / 3  # of the cap of one coin


def weights(scores: pl.DataFrame, rule: WeightRule) -> pl.DataFrame:
    """Turn scores into damped target weights.

    Args:
        scores: symbol, ts, score, volatility (of hourly returns; null: no position), one model an hour; the ``HOURS`` - 1
            hours before the first hour that is wanted too. An hour that is not there counts as no position.
        rule: shares and caps.

    Returns:
        symbol, ts, weight: one row for each row of ``scores``.
    """
    if scores.is_empty():
        return scores.select("symbol", "ts", weight=pl.lit(0.0))
    symbols = scores["symbol"].unique().sort()
    coin = scores["symbol"].cast(pl.Enum(symbols)).to_physical().cast(pl.Int64).to_numpy()
    number = scores["ts"].dt.epoch("s").to_numpy() // 3600
    hour = number - number.min()
    shape = (int(hour.max()) + 1, symbols.len())
    grid, spread = np.full(shape, np.nan), np.full(shape, np.nan)
    grid[hour, coin] = scores["score"].to_numpy()
    spread[hour, coin] = scores["volatility"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    targets = np.zeros(shape)
    for row in np.unique(hour):
        targets[row] = target_weights(grid[row], np.nan_to_num(spread[row]), rule)
    found = damped_mean(targets, rule.trade)
    return scores.select("symbol", "ts").with_columns(weight=pl.Series(found[hour, coin]))


def damped_mean(targets: Floats, trade: float) -> Floats:
    """Return, for each hour, the weighted mean of its targets and those of the ``HOURS`` - 1 hours before.

    Args:
        targets: hours x coins; hours before the first count as 0.
        trade: part of the way that one hour goes.
    """
    shares = trade * (1 - trade) ** np.arange(HOURS)
    shares /= shares.sum()
    found = np.zeros_like(targets)
    for back, share in enumerate(shares[: len(targets)]):
        found[back:] += share * targets[: len(targets) - back]
    return found


def strength(weight: pl.Expr, rule: WeightRule) -> pl.Expr:
    """Return weak, medium or strong: the size of a weight against the cap of one coin."""
    size = weight.abs() / rule.per_coin
    return pl.when(size >= STRONG).then(pl.lit("strong")).when(size >= MEDIUM).then(pl.lit("medium")).otherwise(
        pl.lit("weak")
    )  # fmt: skip
