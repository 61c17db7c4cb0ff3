"""Checks of ``predictions``: do the models still see and achieve what they did at their training?

Features are compared as a model reads them: ranked within the hour, with unknown values as a bin of their own. Levels
such as prices drift by themselves; their ranks do not. A feature that all coins of an hour share is read as it is, and a
week shows only one state of the market: its stability index is reported and not judged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.features.market_wide import MARKET_WIDE
from crypto_assets.models import drift, ic, preparation
from crypto_assets.models.market_state import SOURCES, columns_of
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.models import TRAINED
from crypto_assets.tables.schemas import ML_FEATURES
from crypto_assets.transforms import labels
from crypto_assets.transforms.labels import Horizon

RECENT_DAYS, IC_DAYS = 7, 30
SAMPLED_DAYS = 12  # of the training window
ERRORS = 2.0  # standard errors around the out-of-fold rank IC
FEWEST_HOURS = 7 * 24  # with a rank IC, below which nothing is judged
MORE_MISSING = 0.2  # share of a feature's values, more than at the training
MOST_MOVED = 0.1  # share of the features that may have moved
SHARED = (*MARKET_WIDE, *SOURCES)  # features that all coins of an hour share
LEAST_SCORED = 0.95  # share of the features' rows that a model scores
KEYS = ["symbol", "ts", "model", "score", "model_id"]
_Inputs = tuple[dict[str, float], tuple[str, ...]]  # stability index of each feature; those that are unknown more often


@dataclass(frozen=True)
class Drift:
    """How far a model is from its training.

    Attributes:
        model: its name.
        rank_ic: mean of the last 30 days whose labels are known; NaN for too few hours.
        low: lower end of its band: the out-of-fold rank IC less two standard errors of both. NaN: not known.
        high: upper end.
        stability: feature -> population stability index of the last 7 days against the training.
        missing: features that are unknown more often than at the training, by a fifth of the rows.
        scored: rows with a score among the rows of features, last 7 days; NaN: there are none.
        shared: features that all coins of an hour share.
        inputs_judged: whether moved and missing features are trouble.
    """

    model: str
    rank_ic: float
    low: float
    high: float
    stability: Mapping[str, float]
    missing: tuple[str, ...]
    scored: float
    shared: tuple[str, ...] = ()
    inputs_judged: bool = True

    @property
    def below_band(self) -> bool:
        """Whether the rank IC lies below its band."""
        return self.rank_ic < self.low

    @property
    def moved(self) -> list[str]:
        """Features of the coins with a stability index above the usual limit, the most moved first."""
        return self._moved(shared=False)

    @property
    def market_moved(self) -> list[str]:
        """Features that all coins share with an index above that limit, the most moved first; they are not judged."""
        return self._moved(shared=True)

    @property
    def moves_much(self) -> bool:
        """Whether more features of the coins have moved than may."""
        return len(self.moved) > MOST_MOVED * max(len(self.stability) - len(self.shared), 1)

    def _moved(self, *, shared: bool) -> list[str]:
        far = {
            name: index
            for name, index in self.stability.items()
            if index > drift.MUCH and (name in self.shared) == shared
        }
        return sorted(far, key=lambda name: -far[name])

    @property
    def trouble(self) -> str | None:
        """What is wrong, in one sentence; None where nothing is."""
        if self.below_band:
            return (
                f"{self.model} has a rank IC of {self.rank_ic:.3f} over {IC_DAYS} days, below the band {self.low:.3f} to "
                f"{self.high:.3f} of its training"
            )
        if self.inputs_judged and self.missing:
            return f"{self.model} lacks values that it had at its training: {', '.join(self.missing[:5])}"
        if self.inputs_judged and self.moves_much:
            return f"{len(self.moved)} of {len(self.stability) - len(self.shared)} features of {self.model} have moved, first {self.moved[0]}"
        if self.scored < LEAST_SCORED:
            return f"{self.model} scores {self.scored:.1%} of the coins and hours with features"
        return None


def drift_of(warehouse: Warehouse, end: date, now: datetime, *, demo: bool = False) -> list[Drift]:
    """Compare each model that predicted lately with its training.

    Args:
        warehouse: the tables.
        end: last day that is looked at.
        now: the instant, UTC: prices that became known later do not count.
        demo: whether the tables are a demo's. Its models train on 90 days, in which the features that look back furthest are
            unknown at first and known later, so its inputs are not judged.

    Returns:
        One a model, by name; none where no model predicted in the 30 days.

    Raises:
        WarehouseError: a table cannot be read.
    """
    predicted = warehouse.read("predictions", start=end - DAY * (IC_DAYS - 1), end=end, columns=KEYS)
    if predicted.is_empty():
        return []
    trained = warehouse.read("trained_models", end=end).filter(pl.col("status") == TRAINED)
    newest = predicted.sort("ts").group_by("model").agg(pl.col("model_id").last()).sort("model")
    serving = newest.join(trained.drop("model"), on="model_id", maintain_order="left").rows(named=True)
    recent = _days(
        warehouse,
        [end - DAY * back for back in range(RECENT_DAYS)],
        [name for row in serving for name in row["features"]],
    )
    found: list[Drift] = []
    compared: dict[tuple[Any, ...], _Inputs] = {}  # models of one month mostly read the same features of the same days
    for row in serving:
        mine = predicted.filter(pl.col("model") == row["model"])
        asked = (*row["features"], row["train_start"].date(), row["trained_until"].date())
        if asked not in compared:
            compared[asked] = _inputs(warehouse, row, recent)
        drifted = _of_model(warehouse, row, mine, compared[asked], recent.height, end, now)
        found.append(replace(drifted, inputs_judged=not demo))
    return found


def _of_model(
    warehouse: Warehouse,
    row: Mapping[str, Any],
    predicted: pl.DataFrame,
    inputs: _Inputs,
    recent: int,
    end: date,
    now: datetime,
) -> Drift:
    """Compare one model with its training; ``recent`` is the number of rows that it could score lately."""
    horizon = int(json.loads(row["config"])["horizon_hours"])
    rank_ic, error = _rank_ic(warehouse, predicted, horizon, now)
    expected, wide = (_number(row, f"out_of_fold_{part}") for part in ("rank_ic", "error"))
    width = ERRORS * math.hypot(error, wide)
    stability, missing = inputs
    since = pl.col("ts").dt.date() > end - DAY * RECENT_DAYS
    scored = predicted.filter(since).height / recent if recent else math.nan
    shared = tuple(feature for feature in stability if feature in SHARED)
    return Drift(row["model"], rank_ic, expected - width, expected + width, stability, missing, scored, shared)


def _number(row: Mapping[str, Any], name: str) -> float:
    return math.nan if row[name] is None else float(row[name])


def _rank_ic(warehouse: Warehouse, predicted: pl.DataFrame, horizon: int, now: datetime) -> tuple[float, float]:
    """Return the mean rank IC of predictions whose label is known, and its Newey-West error."""
    marks: list[datetime] = [predicted["ts"].min(), predicted["ts"].max()]  # type: ignore[list-item]
    until = (marks[1] + timedelta(hours=horizon)).date()
    columns = ["symbol", "ts", "price_usd", "available_at"]
    prices = warehouse.read("prices", start=marks[0].date(), end=until, columns=columns)
    # Barriers are not asked for: an unknown volatility leaves them out.
    rows = predicted.with_columns(pl.lit(None, pl.Float64).alias(labels.VOLATILITY))
    wanted = Horizon(horizon, "label")
    labelled = labels.label(rows, prices, wanted, barrier=1.0, known_by=now)
    judged = labelled.select("ts", "score", outcome=next(iter(wanted.columns)))
    values = ic.hourly_ic(judged)["rank_ic"].drop_nulls().to_numpy()
    if values.size < FEWEST_HOURS:
        return math.nan, math.nan
    return float(values.mean()), ic.newey_west_error(values, horizon - 1)


def _inputs(warehouse: Warehouse, row: Mapping[str, Any], recent: pl.DataFrame) -> _Inputs:
    """Return the stability index of each feature that the model reads, and those that are unknown more often."""
    names = list(row["features"])
    first, last = row["train_start"].date(), row["trained_until"].date()
    step = max((last - first).days // SAMPLED_DAYS, 1)
    sampled = _days(warehouse, [first + DAY * number for number in range(0, (last - first).days + 1, step)], names)
    if recent.is_empty() or sampled.is_empty():
        return {}, ()
    then, now = (preparation.as_read(rows, names, SHARED).astype(np.float64) for rows in (sampled, recent))
    stability, missing = {}, []
    for place, name in enumerate(names):
        edges = drift.bin_edges(then[:, place])
        before, after = (drift.shares_and_unknown(matrix[:, place], edges) for matrix in (then, now))
        stability[name] = drift.stability_index(before, after)
        if after[-1] - before[-1] > MORE_MISSING:
            missing.append(name)
    return stability, tuple(missing)


def _days(warehouse: Warehouse, days: list[date], names: list[str]) -> pl.DataFrame:
    """Read the features of single days: only their files are opened."""
    columns = list(dict.fromkeys(["symbol", "ts", "date", *columns_of(names)]))
    rows = warehouse.scan(ML_FEATURES, start=min(days), end=max(days), columns=columns)
    return warehouse.collect(ML_FEATURES, rows.filter(pl.col("date").is_in(days)))


def _drift(scope: Scope) -> list[Drift]:
    demo = scope.settings.demo is not None
    return scope.once("model_drift", lambda: drift_of(scope.warehouse, scope.end, scope.now, demo=demo))


def rank_ic_in_band(scope: Scope) -> Outcome:
    """Compare each model's rank IC of the last 30 days with the band that its training promised out of fold.

    WARN where it lies below: the out-of-fold rank IC less two standard errors, of the training's and of the 30 days'.
    """
    found = _drift(scope)
    judged = [one for one in found if not math.isnan(one.rank_ic) and not math.isnan(one.low)]
    low = [one for one in judged if one.below_band]
    numbers: dict[str, Any] = {f"rank_ic/{one.model}": round(one.rank_ic, 5) for one in judged}
    numbers |= {f"lowest/{one.model}": round(one.low, 5) for one in judged}
    if low:
        return Outcome(False, str(low[0].trouble), "WARN", numbers)
    return Outcome(True, f"{len(judged)} of {len(found)} model(s) judged, each within its band", "WARN", numbers)


def inputs_stable(scope: Scope) -> Outcome:
    """Compare what the models read in the last 7 days with their training: stability index and share of unknown values.

    WARN where more than a tenth of a model's features have a population stability index above 0.25, or where a feature is
    unknown more often than at the training by a fifth of the rows. Features count as ranked within the hour; those that all
    coins share have figures of their own, which are not judged: a week shows one state of the market.
    """
    found = _drift(scope)
    worst = {
        one.model: _largest(index for name, index in one.stability.items() if name not in one.shared) for one in found
    }
    numbers: dict[str, Any] = {f"largest_stability_index/{name}": round(index, 4) for name, index in worst.items()}
    numbers |= {f"features_moved/{one.model}": len(one.moved) for one in found}
    numbers |= {
        f"largest_market_stability_index/{one.model}": round(_largest(map(one.stability.__getitem__, one.shared)), 4)
        for one in found
        if one.shared
    }
    numbers |= {f"market_features_moved/{one.model}": len(one.market_moved) for one in found if one.shared}
    numbers |= {f"features_missing/{one.model}": len(one.missing) for one in found}
    if not all(one.inputs_judged for one in found):
        return Outcome(
            True,
            "not judged in a demo: its models train on 90 days, in which the features that look back furthest are unknown",
            "WARN",
            numbers,
        )
    for one in found:
        if one.missing or one.moves_much:
            names = ", ".join((*one.missing, *one.moved)[:5])
            return Outcome(False, f"inputs of {one.model} differ from its training: {names}", "WARN", numbers)
    return Outcome(True, f"the inputs of {len(found)} model(s) are as at their training", "WARN", numbers)


def _largest(indices: Iterable[float]) -> float:
    return max((index for index in indices if not math.isnan(index)), default=0.0)


def universe_scored(scope: Scope) -> Outcome:
    """Count the share of the coins and hours with features that each model scored in the last 7 days.

    WARN below 95 %: a coin without a score has no signal.
    """
    found = [one for one in _drift(scope) if not math.isnan(one.scored)]
    numbers: dict[str, Any] = {f"scored/{one.model}": round(one.scored, 5) for one in found}
    short = [one for one in found if one.scored < LEAST_SCORED]
    if short:
        text = f"{short[0].model} scored {short[0].scored:.1%} of the coins and hours with features"
        return Outcome(False, text, "WARN", numbers)
    return Outcome(True, f"{len(found)} model(s) score at least {LEAST_SCORED:.0%} of the universe", "WARN", numbers)


MEASURES: dict[str, dict[str, Measure]] = {
    "predictions": {
        "rank_ic_in_band": rank_ic_in_band,
        "inputs_stable": inputs_stable,
        "universe_scored": universe_scored,
    }
}
