"""Models beside one-line rules, holding, and all that was ever tried: which of it is more than luck."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crypto_assets.errors import ModelError
from crypto_assets.models.evaluation import Evaluation
from crypto_assets.models.grid import Floats
from crypto_assets.models.overfitting import Overfitting, overfitting
from crypto_assets.models.sharpe import Returns, deflated_sharpe

PARTS = 16  # of the time, for the probability of overfitting
FEWEST_DAYS = 60  # below, a ratio of daily returns says nothing


@dataclass(frozen=True)
class Verdict:
    """What is left of a model after costs, rules and luck.

    Attributes:
        model: its name.
        beats: its daily returns after costs have a higher Sharpe ratio than the best single feature's. None where
            either has none.
        best: name of that feature or rule.
        sentence: the same in words.
        deflated: probability that its true Sharpe ratio is above zero, given the number of trials; NaN where it has none.
    """

    model: str
    beats: bool | None
    best: str | None
    sentence: str
    deflated: float


@dataclass(frozen=True)
class Comparison:
    """Evaluations side by side.

    Attributes:
        models: the trained ones.
        features: single features: the named rules, and the one that did best in hindsight.
        hold: figures of holding all coins in equal parts.
        trials: how many trials were ever made: configurations, failed ones included, and the rules.
        overfitting: of choosing the best of the models and rules; None for too few days or trials.
        verdicts: one a model.
    """

    models: tuple[Evaluation, ...]
    features: tuple[Evaluation, ...]
    hold: Mapping[str, float]
    trials: int
    overfitting: Overfitting | None
    verdicts: tuple[Verdict, ...]

    @property
    def best_model(self) -> Evaluation | None:
        """The model with the highest rank IC; None without one."""
        known = [model for model in self.models if not math.isnan(model.figures["rank_ic"])]
        return max(known, key=lambda model: model.figures["rank_ic"], default=None)


def compare(
    models: Sequence[Evaluation], features: Sequence[Evaluation], hold: Mapping[str, float], *, tried: int
) -> Comparison:
    """Set models against single features and luck.

    Args:
        models: evaluations over the same hours.
        features: the same of single features and rules.
        hold: figures of holding.
        tried: configurations that were ever tried on the data, failed ones included.
    """
    trials = max(tried, len(models)) + len(features)
    series = _together([*models, *features])
    ratios = [evaluation.figures["sharpe_a_day"] for evaluation in (*models, *features)]
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else 0.0
    verdicts = tuple(_verdict(model, features, trials, variance) for model in models)
    return Comparison(tuple(models), tuple(features), dict(hold), trials, _overfitting(series), verdicts)


def _together(evaluations: Sequence[Evaluation]) -> Floats:
    """Return the daily returns after costs as days x trials."""
    return np.stack([evaluation.net for evaluation in evaluations], axis=1) if evaluations else np.empty((0, 0))


def _overfitting(series: Floats) -> Overfitting | None:
    days, trials = series.shape
    parts = min(PARTS, days // 4 * 2)
    if trials < 2 or days < FEWEST_DAYS or parts < 2:
        return None
    return overfitting(series, parts)


def _verdict(model: Evaluation, features: Sequence[Evaluation], trials: int, variance: float) -> Verdict:
    mine = model.figures["sharpe_a_year"]
    rivals = [feature for feature in features if not math.isnan(feature.figures["sharpe_a_year"])]
    best = max(rivals, key=lambda feature: feature.figures["sharpe_a_year"], default=None)
    deflated = _deflated(model.net, trials, variance)
    if best is None or math.isnan(mine):
        why = "it has too few days of returns" if math.isnan(mine) else "no single feature can be judged"
        return Verdict(model.name, None, None, f"{model.name} cannot be compared: {why}", deflated)
    theirs, beats = best.figures["sharpe_a_year"], mine > best.figures["sharpe_a_year"]
    said = "beats" if beats else "does not beat"
    sentence = (
        f"{model.name} {said} the best single feature, {best.name}, after costs: Sharpe ratio {mine:.2f} against "
        f"{theirs:.2f} a year, rank IC {model.figures['rank_ic']:.3f} against {best.figures['rank_ic']:.3f}"
    )
    if model.figures["net_a_year"] < 0:
        sentence += "; it loses money after costs"
    return Verdict(model.name, beats, best.name, sentence, deflated)


def _deflated(net: Floats, trials: int, variance: float) -> float:
    try:
        return deflated_sharpe(Returns.of(net), trials, variance)
    except ModelError:  # returns that do not vary have no ratio
        return math.nan
