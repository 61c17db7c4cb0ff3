"""The checks of the rows of every table, by their names: Dagster's checks and ``status`` make these."""

from __future__ import annotations

from crypto_assets.checks import (
    analysis_health,
    calls,
    derivatives,
    enhanced_rows,
    freshness,
    identifiers,
    kept,
    measures,
    model_agreement,
    model_drift,
    models,
    pit_quality,
    service,
    set_aside,
    sources,
    universe,
)
from crypto_assets.checks.outcome import Measure
from crypto_assets.tables.registry import CONTRACTS


def every_measure() -> dict[str, dict[str, Measure]]:
    """Return table -> name of the check -> its function."""
    more = (
        analysis_health.MEASURES,
        calls.MEASURES,
        enhanced_rows.MEASURES,
        freshness.MEASURES,
        service.MEASURES,
        sources.MEASURES,
        derivatives.MEASURES,
        set_aside.MEASURES,
        identifiers.MEASURES,
        kept.MEASURES,
        pit_quality.MEASURES,
        universe.MEASURES,
        model_agreement.MEASURES,
        model_drift.MEASURES,
        models.MEASURES,
    )
    return {
        table: {**measures.MEASURES[table], **{n: m for found in more for n, m in found.get(table, {}).items()}}
        for table in CONTRACTS
    }
