"""Information coefficients: how well scores order what happened, hour by hour.

Sources: Grinold and Kahn, Active Portfolio Management, 2nd ed. 1999, ch. 6 (IC and its ratio); Newey and West,
Econometrica 55 (1987) 703 (standard errors of a mean of serially correlated values).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.errors import ModelError
from crypto_assets.models import grid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
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
    known = _known(rows)
    hours, (scores, outcomes) = grid.by_hour(known["ts"], known["score"].to_numpy(), known["outcome"].to_numpy())
    found = coefficients(scores, outcomes, fewest=fewest)
    return pl.DataFrame({"ts": hours, "coins": found.coins, "ic": found.ic, "rank_ic": found.rank_ic}, nan_to_null=True)


def _known(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that have a score and an outcome."""
    return rows.select("ts", pl.col("score", "outcome").cast(pl.Float64).fill_nan(None)).drop_nulls()


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of each hour.

    Attributes:
        coins: coins with a score and an outcome.
        ic: Pearson's; NaN where there are too few coins or one side does not vary.
        rank_ic: Spearman's; NaN as for ``ic``.
    """

    coins: Ints
    ic: Floats
    rank_ic: Floats


def coefficients(scores: Floats, outcomes: Floats, *, fewest: int = FEWEST_COINS) -> Coefficients:
    """Correlate scores with outcomes hour by hour.

    Args:
        scores: hours x coins; NaN: no score.
        outcomes: forward returns, hours x coins, fractions; NaN: not known.
        fewest: hours with fewer coins have no coefficient.
    """
    there = ~(np.isnan(scores) | np.isnan(outcomes))
    coins = there.sum(axis=1)
    scores, outcomes = np.where(there, scores, np.nan), np.where(there, outcomes, np.nan)
    ic = grid.row_correlations(scores, outcomes)
    rank_ic = grid.row_correlations(grid.row_ranks(scores), grid.row_ranks(outcomes))
    few = coins < fewest
    ic[few], rank_ic[few] = np.nan, np.nan
    return Coefficients(coins, ic, rank_ic)


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
        ts, quantile (1: the lowest scores), coins, outcome (the mean; no row where a quantile has no coin). The spread of
        an hour is the last less the first.
    """
    known = _known(rows)
    hours, (scores, outcomes) = grid.by_hour(known["ts"], known["score"].to_numpy(), known["outcome"].to_numpy())
    coins, means = quantile_outcomes(scores, outcomes, quantiles)
    hour, place = np.nonzero(coins)
    return pl.DataFrame(
        {
            "ts": hours.gather(hour),
            "quantile": place + 1,
            "coins": coins[hour, place],
            "outcome": means[hour, place],
        },
        schema_overrides={"quantile": pl.Int64, "coins": pl.Int64, "outcome": pl.Float64},
    )


def quantile_outcomes(scores: Floats, outcomes: Floats, quantiles: int) -> tuple[Ints, Floats]:
    """Return coins and mean outcome of each quantile of the score: hours x quantiles, lowest scores first.

    Equal scores lie in one quantile, by their mean rank: an order among them could only come from what followed.

    Args:
        scores: hours x coins; NaN: no score.
        outcomes: hours x coins; NaN: not known.
        quantiles: how many; hours with fewer coins than these have none.
    """
    there = ~(np.isnan(scores) | np.isnan(outcomes))
    count = there.sum(axis=1)
    there &= (count >= quantiles)[:, None]
    ranks = grid.row_ranks(np.where(there, scores, np.nan))
    place = np.floor((ranks - 0.5) * quantiles / np.maximum(count, 1)[:, None])
    members = [there & (place == number) for number in range(quantiles)]
    coins = np.stack([member.sum(axis=1) for member in members], axis=1)
    sums = np.stack([np.where(member, outcomes, 0.0).sum(axis=1) for member in members], axis=1)
    return coins, np.divide(sums, coins, out=np.full(sums.shape, np.nan), where=coins > 0)


def _ratio(value: float, unit: float) -> float:
    """Return value / unit; NaN where the unit is nothing."""
    return value / unit if unit > 0 else math.nan
