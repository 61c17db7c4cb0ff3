"""Check ``model_agreement``: does the model disagree with the classifier more or less often than it used to?

Neither of the two is the truth. But both read the same kind of text every day, so a share of disagreements that moves says
that one of them, or the news, has changed.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.narratives import disagreement
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import CONTRACTS

RECENT_DAYS, BEFORE_DAYS = 7, 30
LEAST_TEXTS = 50  # on each side, below which nothing is judged
ERRORS = 3.0  # standard errors by which the share may move


def compared(warehouse: Warehouse, table: str, model: str, start: date, end: date) -> pl.DataFrame:
    """Compare the tones of the classifier and of the newest weights of a model.

    Args:
        warehouse: The tables.
        table: A table of analyses.
        model: The model's name.
        start: The first day.
        end: The last day, included.

    Returns:
        See :func:`crypto_assets.narratives.disagreement.compared`.

    Raises:
        WarehouseError: The table cannot be read.
    """
    key = CONTRACTS[table].key
    columns = list(dict.fromkeys([*key, "date", "status", "sentiment", "model_digest"]))
    rows = warehouse.read(table, start=start, end=end, columns=columns)
    found = disagreement.compared(rows, key, model).sort("date", "model_digest")
    return found.filter(pl.col("model_digest").eq_missing(found["model_digest"].last())) if found.height else found


def article_agreement(scope: Scope) -> Outcome:
    """Compare how often classifier and model differ on articles: the last 7 days with the 30 days before.

    WARN where the share moved by more than 3 standard errors. Only answers of the same weights are compared.
    """
    return _agreement(scope, "article_narratives", "articles")


def event_agreement(scope: Scope) -> Outcome:
    """Compare how often classifier and model differ on events: the last 7 days with the 30 days before.

    WARN where the share moved by more than 3 standard errors. Only answers of the same weights are compared.
    """
    return _agreement(scope, "event_narratives", "events")


def _agreement(scope: Scope, table: str, what: str) -> Outcome:
    first = scope.end - DAY * (RECENT_DAYS - 1)
    rows = compared(scope.warehouse, table, scope.settings.ollama_model, first - DAY * BEFORE_DAYS, scope.end)
    recent = disagreement.counts(rows.filter(pl.col("date") >= first))
    before = disagreement.counts(rows.filter(pl.col("date") < first))
    numbers: dict[str, Any] = {
        "recent": recent.as_numbers(),
        "before": before.as_numbers(),
        "first_day": str(first),
        "last_day": str(scope.end),
    }
    if not recent.texts:
        return Outcome(
            True, "no text of the last 7 days has the tones of both the classifier and a model", "WARN", numbers
        )
    text = f"classifier and model put {recent.differ} of {recent.texts} {what} of the last 7 days in different classes"
    if min(recent.texts, before.texts) < LEAST_TEXTS:
        return Outcome(True, f"{text}; too few to compare with the 30 days before", "WARN", numbers)
    z = disagreement.z_score(recent, before)
    numbers["standard_errors"] = round(z, 2)
    moved = abs(z) > ERRORS
    advice = "; read some of both, and see whether the news or one of the two changed" if moved else ""
    said = f"{text}: {recent.share:.0%}, {before.share:.0%} in the 30 days before{advice}"
    return Outcome(not moved, said, "WARN", numbers)


MEASURES: dict[str, dict[str, Measure]] = {
    "article_narratives": {"model_agreement": article_agreement},
    "event_narratives": {"model_agreement": event_agreement},
}
