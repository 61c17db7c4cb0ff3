"""Features that are a column of an hourly table: a row serves the decision of its own hour and no other."""

from __future__ import annotations

from datetime import timedelta

from crypto_assets.features.feature import Feature

OWN_HOUR = timedelta(minutes=30)  # a decision is 5 minutes after its hour mark


def of_own_hour(
    table: str,
    name: str,
    unit: str,
    formula: str,
    column: str,
    lower: float | None = None,
    upper: float | None = None,
    where: str = "",
) -> Feature:
    """Return the feature that a column of a table is; the other arguments are those of ``Feature``."""
    return Feature(name, unit, formula, (f"{table}.{column}",), stale=OWN_HOUR, lower=lower, upper=upper, where=where)
