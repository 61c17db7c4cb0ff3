"""One training: labelled rows that were known at an instant become an artefact and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from crypto_assets.errors import ModelError
from crypto_assets.models import ic, learners, preparation
from crypto_assets.models.artefact import Artefact, content_hash, model_id
from crypto_assets.models.config import RULES, ModelConfig
from crypto_assets.models.learners import Outcomes
from crypto_assets.models.preparation import Matrix

VALIDATED = 0.25  # newest part of the window that the out-of-fold model does not see
OUT_OF_FOLD, IN_SAMPLE = "out_of_fold", "in_sample"


@dataclass(frozen=True)
class Labelled:
    """Rows of ``ml_features`` with labels, as the data set command gives them.

    Attributes:
        rows: symbol, ts, available_at, forward_return, barrier (null: unknown), label_available_at and features; sorted
            by ts, symbol; all coins of each hour.
        matrix: features ranked within the hour, but for those that all coins of an hour share: rows x features.
        features: columns of the matrix.
        shared: those of them that all coins of an hour share, which are as they are.
    """

    rows: pl.DataFrame
    matrix: Matrix
    features: tuple[str, ...]
    shared: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: pl.DataFrame, features: Sequence[str], shared: Sequence[str] = ()) -> Labelled:
        """Sort rows and rank their features within the hour; shared ones stay as they are."""
        ordered = rows.sort("ts", "symbol")
        return cls(ordered, preparation.as_read(ordered, features, shared), tuple(features), tuple(shared))

    def only(self, features: Sequence[str]) -> Labelled:
        """Return some of the features, in this order."""
        if self.features == tuple(features):
            return self
        places = [self.features.index(name) for name in features]
        matrix = np.ascontiguousarray(self.matrix[:, places])
        shared = tuple(name for name in features if name in self.shared)
        return replace(self, matrix=matrix, features=tuple(features), shared=shared)

    def take(self, places: np.ndarray) -> Labelled:
        """Return some of the rows, by ascending position. Neighbouring rows are not copied."""
        if places.size and places[-1] - places[0] + 1 == places.size:
            part = slice(int(places[0]), int(places[-1]) + 1)
            return replace(self, rows=self.rows[part], matrix=self.matrix[part])
        return replace(self, rows=self.rows[places], matrix=self.matrix[places])

    def outcomes(self) -> Outcomes:
        """Return the labels as learners read them."""
        return Outcomes(
            self.rows["ts"].dt.epoch("s").to_numpy() // 3600,
            self.rows["forward_return"].to_numpy().astype(np.float64),
            self.rows["barrier"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        )


@dataclass(frozen=True)
class Prepared:
    """What a training learns from, and the id of the model that will come of it.

    Attributes:
        config: of the model.
        used: rows of the window with the features that are known often enough.
        rows_hash: of the training rows by content.
        model_id: hash of configuration, code version, features and training rows.
        trained_until: newest ``label_available_at`` among the rows.
    """

    config: ModelConfig
    used: Labelled
    rows_hash: str
    model_id: str
    trained_until: datetime

    @property
    def coins(self) -> int:
        """Distinct coins among the rows."""
        return self.used.rows["symbol"].n_unique()

    @property
    def first(self) -> datetime:
        """First decision among the rows."""
        return self.used.rows["available_at"].min()  # type: ignore[return-value]


@dataclass(frozen=True)
class Training:
    """A trained model and what it showed.

    Attributes:
        artefact: the model.
        rows: training rows.
        coins: distinct coins among them.
        first: the first decision of the window.
        metrics: rank IC in the sample, and out of fold on the newest quarter by a model of the rest.
    """

    artefact: Artefact
    rows: int
    coins: int
    first: datetime
    metrics: dict[str, float]


def train(labelled: Labelled, config: ModelConfig, at: datetime) -> Training:
    """Train on what was known at an instant: :func:`prepare`, then :func:`fit`.

    Args:
        labelled: rows of at least the window.
        config: of the model.
        at: UTC instant before which every label of the training was known.

    Raises:
        ModelError: too few rows or coins, no feature that is known often enough, or labels that do not vary.
    """
    return fit(prepare(labelled, config, at))


def prepare(labelled: Labelled, config: ModelConfig, at: datetime) -> Prepared:
    """Choose the rows and features of a training.

    Args:
        labelled: rows of at least the window.
        config: of the model.
        at: UTC instant before which every label of the training was known.

    Raises:
        ModelError: too few rows or coins, or no feature that is known often enough.
    """
    window = _window(labelled, config, at)
    features = _features(window, config)
    used, rows = window.only(features), window.rows
    known = content_hash(rows["symbol"], rows["ts"], used.matrix, rows["forward_return"].to_numpy())
    until = rows["label_available_at"].max()
    return Prepared(config, used, known, model_id(config, features, known), until)  # type: ignore[arg-type]


def fit(prepared: Prepared) -> Training:
    """Train on prepared rows.

    Args:
        prepared: as :func:`prepare` gave it.

    Raises:
        ModelError: the labels do not vary, or LightGBM cannot be loaded.
    """
    config, used = prepared.config, prepared.used
    learner = learners.fit(config, used.matrix, used.outcomes())
    until = prepared.trained_until.isoformat()
    artefact = Artefact(prepared.model_id, config.kind, used.features, until, learner, used.shared)
    in_sample = {f"{IN_SAMPLE}_rank_ic": _rank_ic(used.rows, learner.score(used.matrix))}
    metrics = in_sample | out_of_fold(prepared)
    return Training(artefact, used.rows.height, prepared.coins, prepared.first, metrics)


def _window(labelled: Labelled, config: ModelConfig, at: datetime) -> Labelled:
    """Return the rows whose label was known before ``at`` and that were decided within the window."""
    known = pl.col("label_available_at") < at - timedelta(hours=config.embargo_hours)
    if config.sample_hours > 1:
        known &= pl.col("ts").dt.epoch("s") // 3600 % config.sample_hours == 0
    if config.window_days:
        known &= pl.col("available_at") >= at - timedelta(days=config.window_days)
    places = np.flatnonzero(labelled.rows.select(known.fill_null(value=False)).to_series().to_numpy())
    if places.size < config.least_rows:
        raise ModelError(
            f"model {config.name!r} has {places.size} labelled rows before {at:%Y-%m-%d %H:%M} and needs "
            f"{config.least_rows}: backfill ml_features for earlier days, or lower least_rows"
        )
    window = labelled.take(places)
    coins = window.rows["symbol"].n_unique()
    if coins < ic.FEWEST_COINS:
        raise ModelError(
            f"model {config.name!r} has {coins} coins before {at:%Y-%m-%d %H:%M} and needs {ic.FEWEST_COINS}: ranks within "
            "an hour say nothing with fewer; set CRYPTO_ASSETS_COINS to more coins"
        )
    return window


def _features(window: Labelled, config: ModelConfig) -> list[str]:
    """Return the features that a training uses."""
    if config.kind in RULES:
        wanted = RULES[config.kind][0]
        if wanted not in window.features:
            raise ModelError(f"rule {config.kind!r} needs feature {wanted!r}, which is not among the columns")
        return [wanted]
    features = preparation.usable(window.matrix, window.features, config.least_known)
    decided = window.rows["available_at"].to_numpy()
    if not config.reads_market(float((decided.max() - decided.min()) / np.timedelta64(1, "D"))):
        features = [name for name in features if name not in window.shared]
    if not features:
        raise ModelError(
            f"model {config.name!r}: no feature is known in {config.least_known:.0%} of its {window.rows.height} training "
            "rows; look at the population of ml_features"
        )
    return features


def out_of_fold(prepared: Prepared) -> dict[str, float]:
    """Judge a model of the window's older part on its newest part, purged by time of knowledge.

    Args:
        prepared: as :func:`prepare` gave it.

    Returns:
        out_of_fold_rank_ic, its Newey-West error and the Sharpe ratio; NaN where a part has too few rows.

    Raises:
        ModelError: the labels do not vary, or LightGBM cannot be loaded.
    """
    config, used = prepared.config, prepared.used
    decided = used.rows["available_at"]
    begin = decided.sort()[int(decided.len() * (1 - VALIDATED))]
    older = np.flatnonzero((used.rows["label_available_at"] < begin).to_numpy())
    newer = np.flatnonzero((decided >= begin).to_numpy())
    if older.size < max(config.least_rows // 2, 1) or not newer.size:
        return {f"{OUT_OF_FOLD}_{name}": float("nan") for name in ("rank_ic", "error", "sharpe")}
    older_rows, newer_rows = used.take(older), used.take(newer)
    learner = learners.fit(config, older_rows.matrix, older_rows.outcomes())
    scores = learner.score(newer_rows.matrix)
    hourly = _hourly(newer_rows.rows, scores)
    return {
        f"{OUT_OF_FOLD}_sharpe": _spread_sharpe(newer_rows.rows, scores, config.overlapping),
        f"{OUT_OF_FOLD}_rank_ic": float(hourly.mean()) if hourly.size else float("nan"),
        f"{OUT_OF_FOLD}_error": ic.newey_west_error(hourly, config.overlapping - 1),
    }


def _spread_sharpe(rows: pl.DataFrame, scores: np.ndarray, horizon: int) -> float:
    """Return the Sharpe ratio a horizon of the best fifth less the worst fifth, over horizons that do not overlap."""
    judged = rows.select("ts", outcome="forward_return").with_columns(pl.Series("score", scores).fill_nan(None))
    place = (pl.col("score").rank("average") - 0.5) / pl.col("score").count()
    best, worst = (pl.col("outcome").filter(chosen).mean() for chosen in (place > 0.8, place < 0.2))
    spread = judged.group_by("ts").agg(spread=best - worst).sort("ts")["spread"].gather_every(horizon)
    values = spread.drop_nulls().to_numpy()
    deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return float(values.mean()) / deviation if deviation > 0 else float("nan")


def _rank_ic(rows: pl.DataFrame, scores: np.ndarray) -> float:
    """Return the mean hourly rank IC; NaN without an hour that has one."""
    hourly = _hourly(rows, scores)
    return float(hourly.mean()) if hourly.size else float("nan")


def _hourly(rows: pl.DataFrame, scores: np.ndarray) -> np.ndarray:
    """Return the rank IC of each hour that has one."""
    judged = rows.select("ts", outcome="forward_return").with_columns(pl.Series("score", scores))
    return ic.hourly_ic(judged)["rank_ic"].drop_nulls().to_numpy()
