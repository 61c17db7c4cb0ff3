"""Checks of derived tables: every base row has its enhanced row. The population of features is in ``population.py``."""

from __future__ import annotations

from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.checks.population import feature_population
from crypto_assets.tables.registry import CONTRACTS, enhanced

ENHANCED = enhanced()


def enhanced_ratio(scope: Scope, table: str = "onchain_enhanced") -> tuple[int, int]:
    """Rows of an enhanced table that are rows of its base table, and rows of the base table.

    Args:
        scope: the days.
        table: the enhanced table; by default the one whose share ``status`` shows.

    Returns:
        The two numbers.

    Raises:
        WarehouseError: a table cannot be read.
    """
    key = list(CONTRACTS[table].key)
    base, own = (
        scope.warehouse.read(name, start=scope.start, end=scope.end, columns=key) for name in (ENHANCED[table], table)
    )
    return own.join(base, on=key, how="semi").height, base.height


def enhanced_over_base(table: str) -> Measure:
    """Every base row has its enhanced row: 1.0 expected (the old system: 0.083). ERROR, since nothing outside can cause it."""

    def measure(scope: Scope) -> Outcome:
        own, base = enhanced_ratio(scope, table)
        ratio = own / base if base else 0.0
        return Outcome(
            base > 0 and own == base,
            f"{own} enhanced of {base} base rows ({ratio:.1%})" if base else "no base rows in the range",
            "ERROR",
            {"enhanced_rows": own, "base_rows": base, "ratio": ratio},
        )

    measure.__doc__ = enhanced_over_base.__doc__
    return measure


MEASURES: dict[str, dict[str, Measure]] = {
    **{table: {"enhanced_over_base": enhanced_over_base(table)} for table in ENHANCED},
    "ml_features": {"feature_population": feature_population},
}
