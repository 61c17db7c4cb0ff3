"""Learners: ridge, gradient boosted trees, their ensemble and rules of one feature.

Each is fitted on a matrix of features and what followed, scores other rows, says what moved a score, and is stored as
text: JSON, or LightGBM's own format inside it. Nothing is pickled, so reading an artefact runs no code.

The same rows, configuration and version of LightGBM give the same text: seeds and threads are fixed, and LightGBM runs
``deterministic`` with ``force_row_wise``.

Sources: Hoerl and Kennard, Technometrics 12 (1970) 55 (ridge); Ke et al., LightGBM, NIPS 2017; Burges, From RankNet to
LambdaRank to LambdaMART, 2010; Lundberg et al., Nature Machine Intelligence 2 (2020) 56 (contributions of trees).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crypto_assets.errors import ModelError
from crypto_assets.lazy import lazy
from crypto_assets.models import tree_library
from crypto_assets.models.config import RULES, ModelConfig

if TYPE_CHECKING:
    import lightgbm
else:
    lightgbm = lazy("lightgbm")

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SIDES = (-1, 0, 1)  # classes of the triple barrier


@dataclass(frozen=True)
class Outcomes:
    """What followed the training rows.

    Attributes:
        hours: number of each row's hour; rows of one hour lie together.
        returns: forward return, a fraction.
        barriers: side that was touched first (-1, 0, 1); NaN where unknown.
    """

    hours: Ints
    returns: Floats
    barriers: Floats


class Learner(Protocol):
    """A fitted model."""

    def score(self, matrix: Matrix) -> Floats:
        """Return one score a row; higher: a higher return is expected within the hour."""
        ...

    def contributions(self, matrix: Matrix) -> Floats:
        """Return rows x features: how much each feature moved the score."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return everything that scoring needs."""
        ...


def hour_ranks(values: Floats, hours: Ints) -> Floats:
    """Rank values within their hour, from above -0.5 to below 0.5; ties share their mean rank."""
    order = np.lexsort((values, hours))
    sorted_hours, sorted_values = hours[order], values[order]
    starts = np.flatnonzero(np.r_[True, sorted_hours[1:] != sorted_hours[:-1]])
    sizes = np.diff(np.r_[starts, values.size])
    place = np.arange(values.size) - np.repeat(starts, sizes)
    runs = np.flatnonzero(
        np.r_[True, (sorted_hours[1:] != sorted_hours[:-1]) | (sorted_values[1:] != sorted_values[:-1])]
    )
    lengths = np.diff(np.r_[runs, values.size])
    mean_place = np.repeat(place[runs] + (lengths - 1) / 2, lengths)
    ranks = np.empty(values.size)
    ranks[order] = (mean_place + 0.5) / np.repeat(sizes, sizes) - 0.5
    return ranks


BLOCK = 65_536  # rows
THREADS = 2  # of scoring; its result does not depend on them


@dataclass(frozen=True)
class Ridge:
    """A linear model of the rank of the return; an unknown feature counts as the middle of its hour.

    Attributes:
        coefficients: one a feature.
    """

    coefficients: tuple[float, ...]

    @classmethod
    def fit(cls, matrix: Matrix, outcomes: Outcomes, parameters: dict[str, Any]) -> Ridge:
        """Minimise the squared error plus penalty x rows x squared coefficients, without intercept (ranks have mean 0)."""
        known = np.nan_to_num(matrix)
        target = hour_ranks(outcomes.returns, outcomes.hours)
        products = np.zeros((matrix.shape[1], matrix.shape[1]))
        toward = np.zeros(matrix.shape[1])
        for start in range(0, len(known), BLOCK):  # float64 sums of a block at a time: exact enough, and little memory
            block = known[start : start + BLOCK].astype(np.float64)
            products += block.T @ block
            toward += block.T @ target[start : start + BLOCK]
        products[np.diag_indices_from(products)] += parameters["penalty"] * len(known)
        return cls(tuple(float(value) for value in np.linalg.solve(products, toward)))

    def score(self, matrix: Matrix) -> Floats:
        """Return the predicted rank."""
        return np.nan_to_num(matrix).astype(np.float64) @ np.array(self.coefficients)

    def contributions(self, matrix: Matrix) -> Floats:
        """Return coefficient x feature."""
        return np.nan_to_num(matrix).astype(np.float64) * np.array(self.coefficients)

    def to_json(self) -> dict[str, Any]:
        """Return the coefficients."""
        return {"coefficients": list(self.coefficients)}


@dataclass(frozen=True)
class Trees:
    """LightGBM's booster.

    Attributes:
        text: the model in LightGBM's own text format.
        classes: it classifies the triple barrier; its score is P(up) - P(down).
    """

    text: str
    classes: bool = False

    @classmethod
    def fit(cls, kind: str, matrix: Matrix, outcomes: Outcomes, parameters: dict[str, Any]) -> Trees:
        """Boost trees on the ranks, the order or the barriers.

        Raises:
            ModelError: LightGBM cannot be loaded.
        """
        engine = booster_library()
        rows, target, options, group = _task(kind, outcomes, parameters)
        data = engine.Dataset(matrix if rows is None else matrix[rows], target, group=group, params=options)
        booster = engine.train(options, data, num_boost_round=parameters["trees"])
        text = re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", booster.model_to_string())  # they change nothing
        return cls(text, classes=kind == "barrier")

    def score(self, matrix: Matrix) -> Floats:
        """Return the predicted rank or order, or P(up) - P(down)."""
        predicted = self._predicted(matrix, tree_library.PREDICTED)
        return predicted[:, 2] - predicted[:, 0] if self.classes else predicted

    def contributions(self, matrix: Matrix) -> Floats:
        """Return LightGBM's SHAP values without the expected value."""
        found = self._predicted(matrix, tree_library.CONTRIBUTIONS)
        if not self.classes:
            return found[:, :-1]
        width = matrix.shape[1] + 1
        return found[:, 2 * width : 3 * width - 1] - found[:, : width - 1]

    def to_json(self) -> dict[str, Any]:
        """Return the booster's text."""
        return {"booster": self.text, "classes": self.classes}

    def _predicted(self, matrix: Matrix, kind: int) -> Floats:
        with tree_library.Trees(self.text) as trees:
            return trees.predict(matrix, kind, THREADS)


@dataclass(frozen=True)
class Ensemble:
    """The mean of the ranks that two learners give within the rows that are scored together."""

    ridge: Ridge
    trees: Trees

    def score(self, matrix: Matrix) -> Floats:
        """Return the mean of both predicted ranks; both learners predict the same unit."""
        return (self.ridge.score(matrix) + self.trees.score(matrix)) / 2

    def contributions(self, matrix: Matrix) -> Floats:
        """Return the mean of both contributions."""
        return (self.ridge.contributions(matrix) + self.trees.contributions(matrix)) / 2

    def to_json(self) -> dict[str, Any]:
        """Return both."""
        return {"ridge": self.ridge.to_json(), "trees": self.trees.to_json()}


@dataclass(frozen=True)
class Rule:
    """One feature with a sign; it learns nothing.

    Attributes:
        sign: 1: a high value is expected to earn more.
    """

    sign: float

    def score(self, matrix: Matrix) -> Floats:
        """Return the only feature, with its sign; NaN where unknown."""
        return matrix[:, 0].astype(np.float64) * self.sign

    def contributions(self, matrix: Matrix) -> Floats:
        """Return the score: it is all of one feature."""
        return self.score(matrix)[:, None]

    def to_json(self) -> dict[str, Any]:
        """Return the sign."""
        return {"sign": self.sign}


def fit(config: ModelConfig, matrix: Matrix, outcomes: Outcomes) -> Learner:
    """Fit the learner of a configuration.

    Args:
        config: kind and parameters.
        matrix: rows x features, rows of one hour together.
        outcomes: what followed each row.

    Raises:
        ModelError: all outcomes are equal, or LightGBM cannot be loaded.
    """
    if config.kind in RULES:
        return Rule(RULES[config.kind][1])
    if not len(outcomes.returns) or np.ptp(outcomes.returns) == 0:
        raise ModelError(f"all {len(outcomes.returns)} labels are equal: model {config.name!r} has nothing to learn")
    parameters = config.all_parameters
    if config.kind == "ridge":
        return Ridge.fit(matrix, outcomes, parameters)
    if config.kind == "ensemble":
        return Ensemble(Ridge.fit(matrix, outcomes, parameters), Trees.fit("lightgbm", matrix, outcomes, parameters))
    return Trees.fit(config.kind, matrix, outcomes, parameters)


def read(kind: str, stored: dict[str, Any]) -> Learner:
    """Read a learner back from what its ``to_json`` gave.

    Raises:
        ModelError: parts are missing, or it needs LightGBM, which cannot be loaded.
    """
    if kind not in RULES and kind != "ridge":
        tree_library.library()  # here, so that other models serve where it is missing
    try:
        if kind in RULES:
            return Rule(float(stored["sign"]))
        if kind == "ridge":
            return Ridge(tuple(stored["coefficients"]))
        if kind == "ensemble":
            return Ensemble(Ridge(tuple(stored["ridge"]["coefficients"])), Trees(**_trees(stored["trees"])))
        return Trees(**_trees(stored))
    except (KeyError, TypeError) as error:
        raise ModelError(f"a stored {kind} model lacks {error}: train it again") from error


def booster_library() -> Any:
    """Return LightGBM's Python package, which training needs.

    Raises:
        ModelError: it is not installed, or the system lacks the OpenMP library that it needs.
    """
    try:
        lightgbm.Booster  # noqa: B018 - the first use loads the library
    except (ImportError, OSError) as error:
        raise tree_library.not_here(error) from error
    return lightgbm


def _trees(stored: dict[str, Any]) -> dict[str, Any]:
    return {"text": stored["booster"], "classes": stored["classes"]}


def _task(kind: str, outcomes: Outcomes, parameters: dict[str, Any]) -> tuple[Any, Any, dict[str, Any], Any]:
    """Return the rows used (None: all), target, LightGBM's parameters and the sizes of the hours."""
    options = {
        "num_leaves": parameters["leaves"],
        "learning_rate": parameters["learning_rate"],
        "min_data_in_leaf": parameters["least_rows_a_leaf"],
        "feature_fraction": parameters["feature_fraction"],
        "bagging_fraction": parameters["row_fraction"],
        "bagging_freq": 1,
        "lambda_l2": parameters["l2"],
        "seed": parameters["seed"],
        "num_threads": parameters["threads"],
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    ranks = hour_ranks(outcomes.returns, outcomes.hours)
    if kind == "lightgbm":
        return None, ranks, options | {"objective": "regression"}, None
    if kind == "barrier":
        rows = np.flatnonzero(~np.isnan(outcomes.barriers))
        return rows, outcomes.barriers[rows] + 1, options | {"objective": "multiclass", "num_class": len(SIDES)}, None
    grades = np.minimum(((ranks + 0.5) * parameters["grades"]).astype(int), parameters["grades"] - 1)
    changes = np.flatnonzero(np.r_[True, outcomes.hours[1:] != outcomes.hours[:-1]])
    sizes = np.diff(np.r_[changes, outcomes.hours.size])
    gains = {"label_gain": list(range(parameters["grades"]))}  # linear: the default 2^grade - 1 sees the top only
    return None, grades, options | gains | {"objective": "lambdarank"}, sizes
