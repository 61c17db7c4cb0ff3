"""Assets ``freshness_observations`` and ``slo_report``: what was fresh at each observation, and how often recently."""

from datetime import datetime, timedelta

import dagster as dg
import polars as pl

from crypto_assets.assets import shell
from crypto_assets.assets.plots import line_chart
from crypto_assets.assets.providers import Providers
from crypto_assets.checks.state import FRESHNESS
from crypto_assets.dates import DAY
from crypto_assets.monitoring import freshness
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import FRESHNESS_OBSERVATIONS, SLO_REPORT
from crypto_assets.transforms import service_level

SOURCE = "platform"
SHOWN = DAY * 7  # the span of the chart


@dg.asset(**shell.asset_kwargs("freshness_observations"))
def freshness_observations(providers: Providers) -> dg.MaterializeResult[None]:
    """Record which tables are fresh now."""
    now = providers.now()
    found = freshness.observe(Warehouse(providers.settings().warehouse), now)
    rows = [
        {
            "asset": seen.table, "ts": service_level.slot_of(now), "date": now.date(), "available_at": now, "source": SOURCE,
            "fresh": seen.fresh, "newest_available_at": seen.newest if seen.kept_up else None,
            "age_s": seen.age.total_seconds() if seen.kept_up and seen.age is not None else None,
            "late_after_s": seen.late_after.total_seconds(),
        }
        for seen in found
        if seen.fresh is not None
    ]  # fmt: skip
    report = Warehouse(providers.settings().warehouse).write(
        FRESHNESS_OBSERVATIONS, pl.DataFrame(rows, schema=FRESHNESS_OBSERVATIONS.polars_schema), [now.date()]
    )
    late = [seen.table for seen in found if seen.fresh is False]
    judged = [seen.table for seen in found if seen.fresh is not None]
    ages = {
        f"age_hours/{seen.table}": round(seen.age / timedelta(hours=1), 3)
        for seen in found
        if seen.kept_up and seen.age is not None
    }
    return dg.MaterializeResult(
        metadata={
            "fresh": len(judged) - len(late),
            "observed": len(judged),
            "not_fresh": ", ".join(late) or "none",
            "recorded": ", ".join(seen.table for seen in found if seen.fresh is None) or "none",
            "not_readable": ", ".join(seen.table for seen in found if not seen.readable) or "none",
            "delta_version": report.version,
            **ages,
        }
    )


@dg.asset(**shell.asset_kwargs("slo_report"), deps=[freshness_observations])
def slo_report(providers: Providers) -> dg.MaterializeResult[None]:
    """Compute the service level of the last days, and add it to the table."""
    now, warehouse = providers.now(), Warehouse(providers.settings().warehouse)
    observations = observed(warehouse, now)
    level = service_level.service_level(observations, now)
    rows = level.with_columns(
        ts=pl.lit(service_level.slot_of(now)), date=pl.lit(now.date()), available_at=pl.lit(now), source=pl.lit(SOURCE)
    )
    warehouse.write(SLO_REPORT, rows, [now.date()])
    return dg.MaterializeResult(metadata={**figures(level), "days": dg.MetadataValue.md(chart(observations, now))})


def observed(warehouse: Warehouse, now: datetime, span: timedelta = service_level.WINDOWS["30d"]) -> pl.DataFrame:
    """Return the observations of the last span (asset, ts, fresh), for tables that are kept up to date.

    Left out are tables that no longer exist, tables without any row in that time (nobody fills them), and the
    observations of a table before its first row. A table that stopped stays, however old its last row is.

    Args:
        warehouse: the tables.
        now: the instant, UTC.
        span: how far back.

    Returns:
        The observations.
    """
    known = warehouse.read(
        FRESHNESS_OBSERVATIONS,
        start=(now - span).date(),
        end=now.date(),
        columns=["asset", "ts", "fresh", "newest_available_at"],
    ).filter(pl.col("asset").is_in(list(FRESHNESS)), pl.col("ts") <= now)
    filled = pl.col("newest_available_at").is_not_null()
    since = pl.col("ts").filter(filled).min().over("asset")
    return known.filter(pl.col("ts") >= since).select("asset", "ts", "fresh")


def figures(level: pl.DataFrame) -> dict[str, float]:
    """Return the numbers of the report under fixed names, so that the UI plots them over time."""
    found: dict[str, float] = {}
    for row in level.iter_rows(named=True):
        found[f"share_{row['window']}/{row['asset']}"] = round(row["share_fresh"], 5)
        if row["window"] == "30d":
            found[f"budget_left/{row['asset']}"] = round(row["error_budget_left"], 4)
    return found


def chart(observations: pl.DataFrame, now: datetime) -> str:
    """Render the share of fresh slots by day, for the tables that missed the target, as Markdown."""
    daily = (
        observations.filter(pl.col("ts") > now - SHOWN)
        .group_by("asset", pl.col("ts").dt.date().alias("day"))
        .agg(share=pl.col("fresh").mean())
        .sort("asset", "day")
    )
    low = daily.group_by("asset").agg(pl.col("share").min()).sort("share", "asset").head(6)["asset"].to_list()
    series = {
        name: (part["day"].to_list(), part["share"].to_list())
        for name in low
        for part in [daily.filter(pl.col("asset") == name)]
    }
    return line_chart(series, title="Observed slots that were fresh, the six lowest", unit="%")


ASSETS = [freshness_observations, slo_report]
