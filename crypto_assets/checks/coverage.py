"""Measures of derived tables: every base row enhanced; the features' population has a file of its own."""

from __future__ import annotations

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.population import feature_population


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


MEASURES = {
    "onchain_enhanced": {"enhanced_over_base": enhanced_over_base},
    "ml_features": {"feature_population": feature_population},
}
