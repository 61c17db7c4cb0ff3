"""Proofs against fooling oneself: labels that say nothing, a feature that is the future, and rows from after an instant.

Each goes through the same training as the models that serve. So an error that lets the future in shows here as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from crypto_assets.models import grid, ic, training
from crypto_assets.models.artefact import Artefact
from crypto_assets.models.config import ModelConfig
from crypto_assets.models.training import OUT_OF_FOLD, Labelled

ERRORS = 2.0  # standard errors that a rank IC of nothing may lie from zero
SUSPECT_IC, SUSPECT_T = 0.2, 5.0  # beyond both, a feature knows more than any that was ever published
PLANTED = "planted_future"
NOISE = (0.0, 2.0)  # of the planted leak, in standard deviations of what it leaks


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
    found = []
    for seed in seeds:
        metrics = training.train(shuffled(labelled, seed), config, at).metrics
        found.append(Shuffled(seed, metrics[f"{OUT_OF_FOLD}_rank_ic"], metrics[f"{OUT_OF_FOLD}_error"]))
    return found


def shuffled(labelled: Labelled, seed: int) -> Labelled:
    """Give each row the labels of another coin of its hour."""
    rows = labelled.rows
    hours = rows["ts"].dt.epoch("s").to_numpy()
    order = np.lexsort((np.random.default_rng(seed).random(rows.height), hours))  # rows are sorted by hour
    mixed = rows.select("forward_return", "barrier")[order]
    return replace(labelled, rows=rows.with_columns(mixed))


def feature_coefficients(labelled: Labelled, horizon: int) -> pl.DataFrame:
    """Return the rank IC of each feature alone, over hours whose labels do not overlap.

    Args:
        labelled: rows with features ranked within the hour.
        horizon: hours of the label: every so many hours count.

    Returns:
        feature, samples (hours with a coefficient), rank_ic, t; the strongest first.
    """
    hours = labelled.rows["ts"].dt.epoch("s").to_numpy() // 3600
    places = np.flatnonzero((hours % horizon == 0) & labelled.rows["forward_return"].is_not_null().to_numpy())
    ts = labelled.rows["ts"].gather(places)
    returns = labelled.rows["forward_return"].cast(pl.Float64).to_numpy()[places]
    matrix = labelled.matrix[places].astype(np.float64)
    _, (outcomes, *columns) = grid.by_hour(ts, returns, *matrix.T)
    rows = []
    for feature, values in zip(labelled.features, columns, strict=True):
        found = ic.coefficients(values, outcomes).rank_ic
        found = found[~np.isnan(found)]
        rows.append((feature, found.size, float(found.mean()) if found.size else None, ic.t_statistic(found)))
    schema = {"feature": pl.String, "samples": pl.Int64, "rank_ic": pl.Float64, "t": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)
    return table.sort(pl.col("rank_ic").abs(), descending=True, nulls_last=True)


def suspects(coefficients: pl.DataFrame) -> list[str]:
    """Return the features that order what follows better than a feature can: they hold a part of the future.

    Args:
        coefficients: of ``feature_coefficients``.
    """
    # Equal coefficients in all hours have no spread, and so no t.
    sure = pl.col("t").abs().fill_null(math.inf) >= SUSPECT_T
    return coefficients.filter(pl.col("rank_ic").abs() >= SUSPECT_IC, pl.col("samples") > 1, sure)["feature"].to_list()


def planted_leaks(labelled: Labelled, horizon: int, seeds: Sequence[int]) -> list[list[str]]:
    """Plant a feature that holds the forward return under noise, and search for it.

    Args:
        labelled: rows with features and labels.
        horizon: hours of the label.
        seeds: one search each; the first has no noise, the last the most.

    Returns:
        The suspects of each search. The proof holds where each is the planted feature alone.
    """
    found = []
    returns = labelled.rows["forward_return"].cast(pl.Float64).to_numpy()
    for seed, noise in zip(seeds, np.linspace(*NOISE, len(seeds)), strict=True):
        known = (returns - np.nanmean(returns)) / np.nanstd(returns)
        leak = known + noise * np.random.default_rng(seed).normal(size=len(known))
        rows = labelled.rows.with_columns(pl.Series(PLANTED, leak))
        column = training.Labelled.of(rows.select("symbol", "ts", PLANTED), [PLANTED]).matrix
        planted = replace(labelled, matrix=np.hstack([labelled.matrix, column]), features=(*labelled.features, PLANTED))
        found.append(suspects(feature_coefficients(planted, horizon)))
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
