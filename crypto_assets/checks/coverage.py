"""Checks of derived tables: every base row has its enhanced row. The population of features is in ``population.py``."""

from __future__ import annotations

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.population import feature_population


def enhanced_ratio(scope: Scope) -> tuple[int, int]:
    """Return (rows of onchain_enhanced whose key is in onchain_base, rows of onchain_base) in the range."""
    key = ["symbol", "date"]
    base = scope.warehouse.read("onchain_base", start=scope.start, end=scope.end, columns=key)
    enhanced = scope.warehouse.read("onchain_enhanced", start=scope.start, end=scope.end, columns=key)
    return enhanced.join(base, on=key, how="semi").height, base.height


def enhanced_over_base(scope: Scope) -> Outcome:
    """Check that every base row has its enhanced row. ERROR, because no provider can cause a missing one."""
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
