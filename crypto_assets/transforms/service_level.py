"""Service level from observations: shares of fresh slots, what is left of the error budget, how fast it burns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from crypto_assets.tables.operations import SLO_TARGET

SLOT = timedelta(minutes=15)
WINDOWS: dict[str, timedelta] = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
SHORT, LONG = timedelta(hours=1), timedelta(hours=6)
# How many times faster than the target allows the budget may burn. One bad slot is 25 times over an hour and 4 times
# over six, so that it takes two of the last six hours, and one of the last hour.
BURN_SHORT, BURN_LONG = 14.4, 6.0
ALL = "all"


def slot_of(moment: datetime) -> datetime:
    """The start of the quarter of an hour that holds this instant."""
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def service_level(
    observations: pl.DataFrame, now: datetime, windows: Mapping[str, timedelta] = WINDOWS, target: float = SLO_TARGET
) -> pl.DataFrame:
    """One row an asset and window, and 'all': slots, fresh_slots, unobserved_slots, share_fresh, target, error_budget_left.

    ``observations`` has asset, ts, fresh (one row a slot). A slot that nobody observed is not fresh. The slot in progress
    counts once it was observed.
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
    """One row an asset: ``short`` and ``long``, how many times faster than allowed the budget burnt over 1 h and 6 h.

    Of slots that were observed: that nobody looked is another trouble, and not of this asset (:func:`unobserved`).
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
    """Slots of the last span, the one in progress left out, in which no table was observed."""
    last = slot_of(now) - SLOT
    seen = observations.filter(pl.col("ts").is_between(last - span + SLOT, last))["ts"].n_unique()
    first = observations["ts"].min()
    if not isinstance(first, datetime):
        return 0
    return max(0, min(span // SLOT, (last - first) // SLOT + 1) - seen)
