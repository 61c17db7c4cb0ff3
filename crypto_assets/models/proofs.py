"""Proofs against fooling oneself: labels that say nothing, a feature that is the future, and rows from after an instant.

Each goes through the same training as the models that serve. So an error that lets the future in shows here as well.

Sources: Grinold and Kahn, Active Portfolio Management, 2nd ed. 1999, ch. 10 (a rank IC of 0.05 is good, of 0.1 great);
Dunn, Journal of the American Statistical Association 56 (1961) 52 (Bonferroni's bound for many intervals at once);
Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.7.5 (quantiles of Student's t).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import NormalDist

import numpy as np
import polars as pl

from crypto_assets.models import grid, ic, training
from crypto_assets.models.artefact import Artefact
from crypto_assets.models.config import ModelConfig
from crypto_assets.models.training import OUT_OF_FOLD, Labelled

ERRORS = 2.0  # standard errors that a rank IC of nothing may lie from zero
PLAUSIBLE_IC = 0.1  # the most that a single feature is expected to know of what follows
FALSE_ALARM = 0.01  # highest probability that a search among honest features names any
FEWEST_SAMPLES = 5  # hours whose labels do not overlap, below which no feature is named
SEARCHED_HOURS = 5  # a search looks at every fifth hour, as the default models do
PLANTED = "planted_future"
NOISE = (0.0, 2.0)  # of the planted leak, in standard deviations of the returns of its hour


@dataclass(frozen=True)
class Shuffled:
    """A training on shuffled labels.

    Attributes:
        seed: of the shuffling.
        rank_ic: out of fold.
        error: its Newey-West standard error.
    """

    seed: int
    rank_ic: float
    error: float

    @property
    def inside(self) -> bool:
        """Whether the rank IC lies within two standard errors of zero."""
        return abs(self.rank_ic) <= ERRORS * self.error


def shuffled_labels(labelled: Labelled, config: ModelConfig, at: datetime, seeds: Iterable[int]) -> list[Shuffled]:
    """Train on labels that were shuffled among the coins of each hour, and judge out of fold on such labels too.

    Args:
        labelled: rows of at least the window.
        config: of the model.
        at: UTC instant of the training.
        seeds: one training each.

    Raises:
        ModelError: the rows are not enough for a training.
    """
    found, prepared = [], training.prepare(labelled, config, at)
    for seed in seeds:
        metrics = training.out_of_fold(replace(prepared, used=shuffled(prepared.used, seed)))
        found.append(Shuffled(seed, metrics[f"{OUT_OF_FOLD}_rank_ic"], metrics[f"{OUT_OF_FOLD}_error"]))
    return found


def shuffled(labelled: Labelled, seed: int) -> Labelled:
    """Give each row the labels of another coin of its hour."""
    rows = labelled.rows
    hours = rows["ts"].dt.epoch("s").to_numpy()
    order = np.lexsort((np.random.default_rng(seed).random(rows.height), hours))  # rows are sorted by hour
    mixed = rows.select("forward_return", "barrier")[order]
    return replace(labelled, rows=rows.with_columns(mixed))


def feature_coefficients(labelled: Labelled, horizon: int, step: int | None = None) -> pl.DataFrame:
    """Return the rank IC of each feature alone.

    Args:
        labelled: rows with features ranked within the hour.
        horizon: hours of the label.
        step: every so many hours count; None: the horizon, so that no labels overlap.

    Returns:
        feature, samples (hours with a coefficient, divided by how many of them overlap), rank_ic, t (of Newey and West,
        over the hours that overlap); the strongest first.
    """
    step = step or horizon
    overlapping = -(-horizon // step)
    hours = labelled.rows["ts"].dt.epoch("s").to_numpy() // 3600
    places = np.flatnonzero((hours % step == 0) & labelled.rows["forward_return"].is_not_null().to_numpy())
    ts = labelled.rows["ts"].gather(places)
    returns = labelled.rows["forward_return"].cast(pl.Float64).to_numpy()[places]
    matrix = labelled.matrix[places].astype(np.float64)
    _, (outcomes, *columns) = grid.by_hour(ts, returns, *matrix.T)
    rows = []
    for feature, values in zip(labelled.features, columns, strict=True):
        found = ic.coefficients(values, outcomes).rank_ic
        found = found[~np.isnan(found)]
        t = ic.t_statistic(found) if overlapping == 1 else _t_newey_west(found, overlapping - 1)
        rows.append((feature, found.size // overlapping, float(found.mean()) if found.size else None, t))
    schema = {"feature": pl.String, "samples": pl.Int64, "rank_ic": pl.Float64, "t": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)
    return table.sort(pl.col("rank_ic").abs(), descending=True, nulls_last=True)


def _t_newey_west(values: np.ndarray, lags: int) -> float:
    """Return mean over error; NaN where the values are too few or equal."""
    error = ic.newey_west_error(values, lags)
    return float(values.mean()) / error if error > 0 else math.nan


def suspects(coefficients: pl.DataFrame) -> list[str]:
    """Return the features that order what follows better than a feature can: they hold a part of the future.

    A feature is named where the whole confidence interval of its rank IC lies beyond ``PLAUSIBLE_IC``. The intervals hold
    for all features at once, so that a search among features of up to that rank IC names any of them with a probability of
    at most ``FALSE_ALARM``. A short history or few coins widen the intervals, and a leak is named all the same, because it
    lies far beyond.

    Args:
        coefficients: of ``feature_coefficients``.

    Returns:
        Their names, the strongest first.
    """
    judged = coefficients.filter(pl.col("samples") >= FEWEST_SAMPLES, pl.col("rank_ic").is_not_null())
    named = []
    for feature, samples, rank_ic, t in judged.select("feature", "samples", "rank_ic", "t").rows():
        # Equal coefficients in all hours have no spread, and so no t.
        error = abs(rank_ic / t) if t else 0.0
        if abs(rank_ic) - errors_of_bound(judged.height, samples - 1) * error > PLAUSIBLE_IC:
            named.append(feature)
    return named


def errors_of_bound(features: int, freedom: int) -> float:
    """Return how many standard errors wide, on each side, the confidence intervals of so many features are.

    Args:
        features: intervals that hold at once, with a probability of 1 - ``FALSE_ALARM`` by Bonferroni's bound.
        freedom: degrees of freedom of Student's t, 4 or more.
    """
    z = NormalDist().inv_cdf(1 - FALSE_ALARM / (2 * features))
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def planted_leaks(labelled: Labelled, horizon: int, seeds: Sequence[int]) -> list[list[str]]:
    """Plant a feature that holds the forward return under noise, and search for it among the others.

    The noise is measured within the hour, as everything that a model reads: what all coins do together says nothing of
    their order.

    Args:
        labelled: rows with features and labels.
        horizon: hours of the label.
        seeds: one search each; the first has no noise, the last the most.

    Returns:
        The suspects of each search. The proof holds where each is the planted feature alone.
    """
    step = min(SEARCHED_HOURS, horizon)
    honest = feature_coefficients(labelled, horizon, step)
    returned = pl.col("forward_return").cast(pl.Float64)
    within = (returned - returned.mean().over("ts")) / returned.std().over("ts")
    known = labelled.rows.select(within.fill_nan(None).fill_null(0.0)).to_series().to_numpy()
    found = []
    for seed, noise in zip(seeds, np.linspace(*NOISE, len(seeds)), strict=True):
        leak = known + noise * np.random.default_rng(seed).normal(size=len(known))
        rows = labelled.rows.select("symbol", "ts", "forward_return", pl.Series(PLANTED, leak))
        planted = feature_coefficients(training.Labelled.of(rows, [PLANTED]), horizon, step)
        found.append(suspects(pl.concat([honest, planted]).sort(pl.col("rank_ic").abs(), descending=True)))
    return found


def is_the_same_without_the_future(
    whole: Labelled, known: Labelled, config: ModelConfig, at: datetime
) -> tuple[bool, Artefact]:
    """Train at an instant on all rows and on what was there then, and compare the models to the byte.

    Args:
        whole: rows as they are now.
        known: rows made from tables in which everything that became available at or after ``at`` is deleted.
        config: of the model.
        at: UTC instant.

    Returns:
        Whether both models, and so all predictions, are the same; and the model.

    Raises:
        ModelError: there are not enough rows.
    """
    one, other = (training.train(rows, config, at).artefact for rows in (whole, known))
    return one.text() == other.text(), one
