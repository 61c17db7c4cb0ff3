"""Measures of the service itself: does somebody look every 15 minutes, and is what was promised kept."""

from __future__ import annotations

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.transforms import service_level

ALLOWED_GAPS = 2  # slots of a day: a restart of the machine is no reason to doubt the rest


def slots_observed(scope: Scope) -> Outcome:
    """Slots of the last 24 hours in which freshness was observed. WARN: the service level of a slot nobody saw is unknown."""
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
    """Every table's share of fresh slots over 24 hours against the target. WARN: which table, and how far below."""
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
        else "no report of the last day that has a table which is filled",
        "WARN",
        {"tables": newest.height, "below_target": below.height},
    )


MEASURES = {
    "freshness_observations": {"slots_observed": slots_observed},
    "slo_report": {"slo_met": slo_met},
}
