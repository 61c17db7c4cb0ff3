"""Information coefficients: how well scores order what happened, hour by hour.

Sources: Grinold and Kahn, Active Portfolio Management, 2nd ed. 1999, ch. 6 (IC and its ratio); Newey and West,
Econometrica 55 (1987) 703 (standard errors of a mean of serially correlated values).
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.errors import ModelError

Floats = NDArray[np.float64]
FEWEST_COINS = 5  # a rank correlation of fewer is one of a handful of values


def hourly_ic(rows: pl.DataFrame, *, fewest: int = FEWEST_COINS) -> pl.DataFrame:
    """Correlate scores with outcomes within each hour.

    Args:
        rows: ts, score, outcome (a forward return, a fraction). Rows where either is null or NaN do not count.
        fewest: hours with fewer coins give null, and their count.

    Returns:
        One row an hour, ascending: ts, coins, ic (Pearson), rank_ic (Spearman; ties share their mean rank). Null where
        there are too few coins or all scores or all outcomes are equal.
    """
    known = rows.select("ts", pl.col("score", "outcome").cast(pl.Float64).fill_nan(None)).drop_nulls()
    ranks = [pl.col(name).rank("average").over("ts").alias(f"_{name}") for name in ("score", "outcome")]
    found = (
        known.with_columns(*ranks)
        .group_by("ts")
        .agg(
            pl.len().cast(pl.Int64).alias("coins"),
            pl.corr("score", "outcome").alias("ic"),
            pl.corr("_score", "_outcome").alias("rank_ic"),
            ((pl.col("score").n_unique() > 1) & (pl.col("outcome").n_unique() > 1)).alias("_varies"),
        )
        .sort("ts")
    )
    enough = (pl.col("coins") >= fewest) & pl.col("_varies")
    return found.with_columns(pl.when(enough).then(pl.col("ic", "rank_ic").fill_nan(None))).drop("_varies")


def newey_west_error(values: Floats, lags: int) -> float:
    """Return the standard error of a mean of serially correlated values.

    With the deviations d from the mean and g(k) = sum of d(t) d(t - k) / n, the variance of the mean is
    (g(0) + 2 sum over k = 1..lags of (1 - k / (lags + 1)) g(k)) / n: Bartlett weights, no correction of the degrees of
    freedom.

    Args:
        values: one a period, in order, without gaps in meaning.
        lags: periods over which neighbours depend on each other: the horizon less one, in periods.

    Returns:
        The error in the unit of the values; NaN for fewer than two values.

    Raises:
        ModelError: negative lags.
    """
    if lags < 0:
        raise ModelError(f"{lags} lags: give 0 or more")
    count = values.size
    if count < 2:
        return math.nan
    deviation = values - values.mean()
    variance = float(deviation @ deviation) / count
    for lag in range(1, min(lags, count - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(deviation[lag:] @ deviation[:-lag]) / count
    return math.sqrt(max(variance, 0.0) / count)


def summary(values: Floats, lags: int, *, each: int) -> dict[str, float]:
    """Summarise a series of hourly coefficients.

    Args:
        values: hourly IC or rank IC in order; NaN for hours without one.
        lags: of the Newey-West error: the horizon in hours less one.
        each: every how many hours samples do not overlap: the horizon in hours.

    Returns:
        mean; icir (mean / standard deviation with n - 1); t_newey_west; t_non_overlapping (of every ``each``-th hour);
        hours; samples (of these non-overlapping hours). NaN where there is no value.
    """
    known = values[~np.isnan(values)]
    apart = values[::each]
    apart = apart[~np.isnan(apart)]
    error = newey_west_error(known, lags)
    mean = float(known.mean()) if known.size else math.nan
    return {
        "mean": mean,
        "icir": _ratio(mean, float(known.std(ddof=1)) if known.size > 1 else math.nan),
        "t_newey_west": _ratio(mean, error),
        "t_non_overlapping": t_statistic(apart),
        "hours": float(known.size),
        "samples": float(apart.size),
    }


def t_statistic(values: Floats) -> float:
    """Return the t of a mean of independent values against zero; NaN for fewer than two values or equal ones."""
    if values.size < 2:
        return math.nan
    return _ratio(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size))


def quantile_spread(rows: pl.DataFrame, quantiles: int = 5) -> pl.DataFrame:
    """Return the mean outcome of each quantile of the score, hour by hour.

    Args:
        rows: ts, score, outcome.
        quantiles: how many; hours with fewer coins than these are left out.

    Returns:
        ts, quantile (1: the lowest scores), coins, outcome (the mean). The spread of an hour is the last less the
        first.
    """
    known = rows.select("ts", pl.col("score", "outcome").cast(pl.Float64).fill_nan(None)).drop_nulls()
    place = (pl.col("score").rank("ordinal").over("ts") - 1) * quantiles // pl.len().over("ts") + 1
    return (
        known.sort("ts", "score", "outcome")
        .filter(pl.len().over("ts") >= quantiles)
        .with_columns(place.cast(pl.Int64).alias("quantile"))
        .group_by("ts", "quantile")
        .agg(pl.len().cast(pl.Int64).alias("coins"), pl.col("outcome").mean())
        .sort("ts", "quantile")
    )


def _ratio(value: float, unit: float) -> float:
    """Return value / unit; NaN where the unit is nothing."""
    return value / unit if unit > 0 else math.nan
