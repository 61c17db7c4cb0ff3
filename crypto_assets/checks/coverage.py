"""Measures of derived tables: every base row enhanced, and which feature cells a source really filled."""

from __future__ import annotations

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.schemas import ML_FEATURES, TEN_ONCHAIN_FIELDS

# What the features of fully covered coins reach; a fall below it means an input stopped, not that coins differ.
POPULATION_THRESHOLD = 0.5


def enhanced_ratio(scope: Scope) -> tuple[int, int]:
    """Rows of onchain_enhanced that are rows of onchain_base, and rows of onchain_base."""
    key = ["symbol", "date"]
    base = scope.warehouse.read("onchain_base", start=scope.start, end=scope.end, columns=key)
    enhanced = scope.warehouse.read("onchain_enhanced", start=scope.start, end=scope.end, columns=key)
    return enhanced.join(base, on=key, how="semi").height, base.height


def enhanced_over_base(scope: Scope) -> Outcome:
    """Every base row has its enhanced row: 1.0 expected (the old system: 0.083). ERROR, since nothing outside can cause it."""
    enhanced, base = enhanced_ratio(scope)
    ratio = enhanced / base if base else 0.0
    return Outcome(
        base > 0 and enhanced == base,
        f"{enhanced} enhanced of {base} base rows ({ratio:.1%})" if base else "no base rows in the range",
        "ERROR",
        {"enhanced_rows": enhanced, "base_rows": base, "ratio": ratio},
    )


def population(scope: Scope) -> tuple[float, dict[str, float], int]:
    """Share of non-null cells over all feature columns, by column, and the number of rows looked at."""
    names = ML_FEATURES.value_columns
    frame = scope.warehouse.read(ML_FEATURES, start=scope.start, end=scope.end, columns=names)
    if frame.is_empty():
        return 0.0, dict.fromkeys(names, 0.0), 0
    shares = frame.select((1 - pl.col(name).null_count() / pl.len()).alias(name) for name in names).row(0, named=True)
    return sum(shares.values()) / len(shares), shares, frame.height


def feature_population(scope: Scope) -> Outcome:
    """Non-null share of the features, the ten on-chain fields by name (the old system: 0.299 overall)."""
    overall, shares, rows = population(scope)
    ten = {name: round(shares[name], 4) for name in TEN_ONCHAIN_FIELDS}
    return Outcome(
        rows > 0 and overall >= POPULATION_THRESHOLD,
        f"{overall:.1%} of feature cells populated over {rows} rows; on-chain fields: "
        + ", ".join(f"{name} {share:.0%}" for name, share in ten.items()),
        "WARN",
        {"overall": overall, "rows": rows, "ten_onchain_fields": ten, "columns": shares},
    )


MEASURES = {
    "onchain_enhanced": {"enhanced_over_base": enhanced_over_base},
    "ml_features": {"feature_population": feature_population},
}
