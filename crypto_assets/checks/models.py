"""Measures of the models: was each trained, can each be read, and did the signals keep what the training promised?"""

from __future__ import annotations

import json
from datetime import date, timedelta
from functools import partial

import numpy as np
import polars as pl

from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.models import ic, serving
from crypto_assets.storage import artefacts
from crypto_assets.tables.models import FAILED, SERVES_DAYS, SIGNALS, TRAINED, TRAINED_MODELS
from crypto_assets.tables.prices import PRICES
from crypto_assets.transforms import labels
from crypto_assets.transforms.labels import VOLATILITY, Horizon

RECENT = DAY * 62  # the models of the last two months serve, or did so until now
WORST = 2.0  # standard errors by which what happened may fall short of what was promised
FEWEST_HOURS = 48


def models_trained(scope: Scope) -> Outcome:
    """Check that every model of the newest month was trained.

    WARN where one failed: the former model goes on, and the check says how old it is.
    """
    rows = _trained(scope)
    if rows.is_empty():
        return Outcome(True, "no month is there yet", "WARN", {"models_failed": 0})
    newest = rows.filter(pl.col("date") == pl.col("date").max())
    failed = newest.filter(pl.col("status") == FAILED).sort("model")
    month = newest["date"][0]
    if failed.is_empty():
        return Outcome(True, f"{newest.height} model(s) of {month:%Y-%m} are trained", "WARN", {"models_failed": 0})
    said = [
        f"{name}: {why}; {_former(rows, name, month, scope)}" for name, why in failed.select("model", "reason").rows()
    ]
    return Outcome(False, f"{month:%Y-%m}, {'; '.join(said)}", "WARN", {"models_failed": failed.height})


def _former(rows: pl.DataFrame, model: str, month: date, scope: Scope) -> str:
    older = rows.filter(pl.col("model") == model, pl.col("status") == TRAINED, pl.col("date") < month)["date"].max()
    if not isinstance(older, date):
        return "no former model serves"
    return f"the model of {older:%Y-%m} goes on, {(scope.now.date() - older).days} days old"


def models_readable(scope: Scope) -> Outcome:
    """Check that the file of each model of the last two months is there and unaltered.

    ERROR where one is not: a former model serves, and the check says how old it is.
    """
    rows = _trained(scope)
    newest = rows["date"].max()
    if not isinstance(newest, date):
        return Outcome(True, "no model is there yet", "ERROR", {"models_not_read": 0})
    recent = rows.filter(pl.col("status") == TRAINED, pl.col("date") >= newest - RECENT)
    read, broken = serving.reader(partial(artefacts.read, scope.warehouse)), []
    readable = rows
    for row in recent.rows(named=True):
        try:
            read(row)
        except CryptoAssetsError as error:
            readable = readable.filter(pl.col("model_id") != row["model_id"])
            broken.append((row, str(error)))
    said = [f"{why}; {_former(readable, row['model'], row['date'], scope)}" for row, why in broken]
    text = "; ".join(said[:2]) if said else f"the files of {recent.height} model(s) are there and unaltered"
    return Outcome(not broken, text, "ERROR", {"models_not_read": len(broken)})


def signal_outcomes(scope: Scope) -> Outcome:
    """Compare what followed the signals with what their trainings promised, once the horizon has passed.

    WARN where the mean hourly rank IC lies more than two standard errors below the promised one. The errors are Newey-West's
    of both means.
    """
    columns = ["symbol", "ts", "date", "available_at", "model_id", "score", "weight"]
    rows = scope.warehouse.read(SIGNALS, start=scope.start, end=scope.end, columns=columns)
    promised = _promised(scope, rows)
    if promised is None:
        return Outcome(True, "no signal of the range, so nothing to compare", "WARN", {"hours": 0})
    expected, error, hours = promised
    happened = _followed(scope, rows, hours)
    hourly = ic.hourly_ic(happened)["rank_ic"].drop_nulls().to_numpy()
    if hourly.size < FEWEST_HOURS:
        text = f"{hourly.size} hour(s) whose horizon has passed; {FEWEST_HOURS} are needed"
        return Outcome(True, text, "WARN", {"hours": int(hourly.size)})
    mean, own = float(hourly.mean()), ic.newey_west_error(hourly, hours - 1)
    earned = float((happened["weight"] * happened["outcome"]).sum()) / happened["ts"].n_unique()
    least = expected - WORST * float(np.hypot(error, own))
    return Outcome(
        mean >= least,
        f"mean rank IC {mean:.4f} over {hourly.size} hours, promised {expected:.4f}; at least {least:.4f} is expected; the weights "
        f"earned {earned:+.4%} a horizon before costs",
        "WARN",
        {
            "rank_ic": mean,
            "rank_ic_promised": expected,
            "rank_ic_least": least,
            "hours": int(hourly.size),
            "earned": earned,
        },
    )


def _promised(scope: Scope, rows: pl.DataFrame) -> tuple[float, float, int] | None:
    """Return the promised rank IC and its error, as means over the rows' models, and the longest horizon in hours."""
    trained = _trained(scope).filter(pl.col("model_id").is_in(rows["model_id"].unique().to_list()))
    trained = trained.unique("model_id").drop_nulls(["out_of_fold_rank_ic", "out_of_fold_error"])
    if rows.is_empty() or trained.is_empty():
        return None
    shares = rows["model_id"].value_counts()
    weighted = trained.join(shares, on="model_id")
    total = float(weighted["count"].sum())
    means = [
        float((weighted[name] * weighted["count"]).sum()) / total
        for name in ("out_of_fold_rank_ic", "out_of_fold_error")
    ]
    hours = max(int(json.loads(text)["horizon_hours"]) for text in trained["config"])
    return means[0], means[1], hours


def _followed(scope: Scope, rows: pl.DataFrame, hours: int) -> pl.DataFrame:
    """Return ts, score, weight and outcome of the rows whose horizon has passed."""
    horizon = Horizon(hours, "h")
    columns = ["symbol", "ts", "available_at", "price_usd"]
    end = scope.end + timedelta(hours=hours) + DAY
    prices = scope.warehouse.read(PRICES, start=scope.start, end=end, columns=columns)
    given = rows.with_columns(pl.lit(None, pl.Float64).alias(VOLATILITY))
    found = labels.label(given, prices, horizon, barrier=1.0, known_by=scope.now)
    return found.rename({next(iter(horizon.columns)): "outcome"}).select("ts", "score", "weight", "outcome")


def _trained(scope: Scope) -> pl.DataFrame:
    """Return the trainings that matter for the range: of a model's life before it, and of the range itself."""
    return scope.warehouse.read(TRAINED_MODELS, start=scope.start - DAY * SERVES_DAYS, end=scope.end)


MEASURES: dict[str, dict[str, Measure]] = {
    TRAINED_MODELS.table: {"models_trained": models_trained, "models_readable": models_readable},
    SIGNALS.table: {"signal_outcomes": signal_outcomes},
}
