"""Checks of the service itself: freshness is observed every 15 minutes, and the service level meets its target."""

from __future__ import annotations

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.transforms import service_level

ALLOWED_GAPS = 2  # slots a day: a restart of the machine takes one or two


def slots_observed(scope: Scope) -> Outcome:
    """Count the slots of the last 24 hours without an observation. WARN: the service level of these slots is unknown."""
    rows = scope.warehouse.read(
        "freshness_observations", start=(scope.now - DAY).date(), end=scope.now.date(), columns=["asset", "ts"]
    )
    missing = service_level.unobserved(rows, scope.now, DAY)
    return Outcome(
        not rows.is_empty() and missing <= ALLOWED_GAPS,
        f"{missing} slot(s) of the last 24 hours were not observed" if not rows.is_empty() else "never observed",
        "WARN",
        {"unobserved_slots": missing},
    )


def slo_met(scope: Scope) -> Outcome:
    """Compare each table's share of fresh slots over 24 hours with the target. WARN names the tables below it."""
    rows = scope.warehouse.read("slo_report", start=(scope.now - DAY).date(), end=scope.now.date())
    newest = rows.filter(
        pl.col("ts") == pl.col("ts").max(), pl.col("window") == "24h", pl.col("asset") != service_level.ALL
    )
    below = newest.filter(pl.col("share_fresh") < pl.col("target")).sort("share_fresh", "asset")
    worst = [f"{asset} {share:.1%}" for asset, share in below.select("asset", "share_fresh").head(5).rows()]
    return Outcome(
        not newest.is_empty() and below.is_empty(),
        (
            f"{below.height} of {newest.height} table(s) below the target over 24 h"
            + (f": {', '.join(worst)}" if worst else "")
        )
        if not newest.is_empty()
        else "the last day has no report of a table that is kept up to date",
        "WARN",
        {"tables": newest.height, "below_target": below.height},
    )


MEASURES = {
    "freshness_observations": {"slots_observed": slots_observed},
    "slo_report": {"slo_met": slo_met},
}
