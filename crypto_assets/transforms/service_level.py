"""The service level from observations: shares of fresh slots, the rest of the error budget, and how fast it burns.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from crypto_assets.tables.operations import SLO_TARGET

SLOT = timedelta(minutes=15)
WINDOWS: dict[str, timedelta] = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
SHORT, LONG = timedelta(hours=1), timedelta(hours=6)
# The limits of the burn rate, as a multiple of what the target allows. One bad slot is 25 times over one hour and 4
# times over six hours. So an incident takes two bad slots in the last six hours, one of them in the last hour.
BURN_SHORT, BURN_LONG = 14.4, 6.0
ALL = "all"


def slot_of(moment: datetime) -> datetime:
    """Return the start of the quarter of an hour that contains an instant."""
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def service_level(
    observations: pl.DataFrame, now: datetime, windows: Mapping[str, timedelta] = WINDOWS, target: float = SLO_TARGET
) -> pl.DataFrame:
    """Compute the service level. A slot that nobody observed is not fresh; the slot in progress counts once observed.

    Args:
        observations: asset, ts, fresh; one row per slot.
        now: the instant, UTC.
        windows: name -> span.
        target: the share of slots that must be fresh.

    Returns:
        One row per asset (and 'all') and window: slots, fresh_slots, unobserved_slots, share_fresh, target,
        error_budget_left.
    """
    if observations.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    newest = observations["ts"].max()
    last = slot_of(now) if newest == slot_of(now) else slot_of(now) - SLOT
    first_seen = observations.group_by("asset").agg(first=pl.col("ts").min())
    parts = []
    for name, span in windows.items():
        start = last - span + SLOT
        seen = (
            observations.filter(pl.col("ts").is_between(start, last))
            .group_by("asset")
            .agg(observed=pl.len().cast(pl.Int64), fresh_slots=pl.col("fresh").sum().cast(pl.Int64))
        )
        part = first_seen.join(seen, on="asset", how="left").with_columns(
            pl.col("observed", "fresh_slots").fill_null(0),
            slots=(last - pl.max_horizontal("first", pl.lit(start))).dt.total_minutes() // 15 + 1,
            window=pl.lit(name),
        )
        parts.append(part.with_columns(pl.max_horizontal("slots", "observed")))
    return _shares(pl.concat(parts), target)


_SCHEMA = {
    "asset": pl.String, "window": pl.String, "slots": pl.Int64, "fresh_slots": pl.Int64, "unobserved_slots": pl.Int64,
    "share_fresh": pl.Float64, "target": pl.Float64, "error_budget_left": pl.Float64,
}  # fmt: skip


def _shares(found: pl.DataFrame, target: float) -> pl.DataFrame:
    counted = found.select(
        "asset", "window", "slots", "fresh_slots", unobserved_slots=pl.col("slots") - pl.col("observed")
    )
    whole = counted.group_by("window").agg(pl.col("slots", "fresh_slots", "unobserved_slots").sum())
    return (
        pl.concat([counted, whole.with_columns(asset=pl.lit(ALL)).select(counted.columns)])
        .with_columns(share_fresh=pl.col("fresh_slots") / pl.col("slots"), target=pl.lit(target))
        .with_columns(error_budget_left=1 - (1 - pl.col("share_fresh")) / (1 - target))
        .select(list(_SCHEMA))
        .sort("asset", "window")
    )


def burn(observations: pl.DataFrame, now: datetime, target: float = SLO_TARGET) -> pl.DataFrame:
    """Compute how many times faster than allowed the error budget burnt, over 1 h (``short``) and 6 h (``long``).

    Only observed slots count. Missing observations are a different problem, which is not the asset's
    (:func:`unobserved`).

    Args:
        observations: asset, ts, fresh; one row per slot.
        now: the instant, UTC.
        target: the share of slots that must be fresh.

    Returns:
        One row per asset.
    """
    last = slot_of(now)
    rates = [
        observations.filter(pl.col("ts") > last - span)
        .group_by("asset")
        .agg((pl.col("fresh").not_().sum() / (span // SLOT) / (1 - target)).alias(name))
        for name, span in (("short", SHORT), ("long", LONG))
    ]
    found = rates[1].join(rates[0], on="asset", how="left").with_columns(pl.col("short").fill_null(0.0))
    return found.select("asset", "short", "long").sort("asset")


def unobserved(observations: pl.DataFrame, now: datetime, span: timedelta = SHORT) -> int:
    """Count the slots of the last span in which no table was observed; the slot in progress does not count."""
    last = slot_of(now) - SLOT
    seen = observations.filter(pl.col("ts").is_between(last - span + SLOT, last))["ts"].n_unique()
    first = observations["ts"].min()
    if not isinstance(first, datetime):
        return 0
    return max(0, min(span // SLOT, (last - first) // SLOT + 1) - seen)
