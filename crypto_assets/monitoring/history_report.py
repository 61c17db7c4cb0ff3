"""Asset ``history_report``: how much of the expected history exists.

Each observation is recorded, so that its course can be shown.
"""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl
from dagster import DagsterInstance

from crypto_assets.assets import shell
from crypto_assets.assets.partition_states import one_look, states_of
from crypto_assets.assets.plots import line_chart
from crypto_assets.assets.providers import Providers
from crypto_assets.checks import expected_history, state
from crypto_assets.checks.outcome import Scope
from crypto_assets.dates import DAY
from crypto_assets.errors import WarehouseError
from crypto_assets.monitoring.history_shares import ALL, PARTITIONS, ROWS, SHARES, shares
from crypto_assets.monitoring.slo import SOURCE
from crypto_assets.settings import Settings
from crypto_assets.storage.lenient import LenientWarehouse
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import HISTORY_REPORT
from crypto_assets.transforms.service_level import slot_of

SHOWN = DAY * 366  # the span of the lines
ENHANCED = "onchain_enhanced"


def count_history(instance: DagsterInstance, settings: Settings, now: datetime) -> tuple[pl.DataFrame, dict[str, str]]:
    """Count how much of the expected history exists, for the closed days from the settings' start on.

    In a folder, a table that cannot be read (it is named with the reason) has no row. The same holds for tables that
    are counted by it, and for 'all'.

    Args:
        instance: knows the partitions.
        settings: the warehouse and its start.
        now: the instant, UTC.

    Returns:
        One row per asset and for 'all' (see the contract), and table -> why it cannot be read.

    Raises:
        WarehouseError: no row is left.
    """
    with one_look(instance, expected_history.TABLES):
        return _count(instance, settings, now)


def _count(instance: DagsterInstance, settings: Settings, now: datetime) -> tuple[pl.DataFrame, dict[str, str]]:
    last = now.date() - DAY
    counted = []
    broken: dict[str, str] = {}
    for table in expected_history.TABLES:
        warehouse = LenientWarehouse(settings.warehouse)
        scope = Scope(warehouse, settings, settings.start, last, now)
        stored = warehouse.days_with_rows(table, settings.start, last)
        due = state.days_due(table, state.first_day(warehouse, table, now), settings.start, last, now, settings)
        known = states_of(instance, table, due[0], due[-1]) if due else {}
        materialized = sum(known.get(day) == "MATERIALIZED" for day in due)
        rows = expected_history.rows(scope, table, stored) if due else None
        if warehouse.not_readable:
            broken |= warehouse.not_readable
        else:
            counted.append((table, len(due), materialized, sum(day in stored for day in due), *(rows or (None, None))))
    if broken and not counted:
        raise WarehouseError(next(iter(broken.values())))
    kinds = {"asset": pl.String, **dict.fromkeys((*PARTITIONS, *ROWS), pl.Int64)}
    found = shares(pl.DataFrame(counted, schema=kinds, orient="row"))
    return found.filter(pl.col("asset") != ALL) if broken else found, broken


@dg.asset(**shell.asset_kwargs("history_report"))
def history_report(context: dg.AssetExecutionContext, providers: Providers) -> dg.MaterializeResult[None]:
    """Count the history that exists, and add it to the table with a chart of its course."""
    now, warehouse = providers.now(), Warehouse(providers.settings().warehouse)
    found, broken = count_history(context.instance, providers.settings(), now)
    rows = found.with_columns(
        ts=pl.lit(slot_of(now)), date=pl.lit(now.date()), available_at=pl.lit(now), source=pl.lit(SOURCE)
    )
    warehouse.write(HISTORY_REPORT, rows, [now.date()])
    return dg.MaterializeResult(
        metadata={
            **figures(found),
            "not_readable": ", ".join(broken) or "none",
            "course": dg.MetadataValue.md(chart(by_day(warehouse, now))),
        }
    )


def figures(found: pl.DataFrame) -> dict[str, float]:
    """Return the numbers of an observation under fixed names, so that the UI plots them over time."""
    numbers: dict[str, float] = {}
    for row in found.iter_rows(named=True):
        for share in SHARES:
            if row[share] is not None:
                numbers[f"{share.removeprefix('share_')}/{row['asset']}"] = round(row[share], 5)
    enhanced = numbers.get(f"rows/{ENHANCED}")
    return numbers if enhanced is None else {"enhanced_over_base": enhanced, **numbers}


def by_day(warehouse: Warehouse, now: datetime, span: timedelta = SHOWN) -> pl.DataFrame:
    """Return the last observation of each day.

    Args:
        warehouse: the tables.
        now: the instant, UTC.
        span: how far back.

    Returns:
        asset, date, ts, counts and shares; tables that no longer exist are left out.
    """
    known = warehouse.read(HISTORY_REPORT, start=(now - span).date(), end=now.date())
    return (
        known.filter(pl.col("asset").is_in([ALL, *expected_history.TABLES]), pl.col("ts") <= now)
        .sort("ts")
        .unique(["asset", "date"], keep="last")
        .sort("asset", "date")
    )


def newest(found: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return asset -> its row of the newest observation."""
    last = found.filter(pl.col("ts") == pl.col("ts").max())
    return {row["asset"]: row for row in last.iter_rows(named=True)}


def series(found: pl.DataFrame, asset: str, share: str) -> tuple[list[Any], list[float | None]]:
    """Return days and values of one share of an asset."""
    rows = found.filter(pl.col("asset") == asset)
    return rows["date"].to_list(), rows[share].to_list()


def lines(found: pl.DataFrame) -> dict[str, tuple[list[Any], list[float | None]]]:
    """Return the lines of the chart for all tables together, by their labels."""
    return {
        "days with rows": series(found, ALL, "share_with_rows"),
        "rows": series(found, ALL, "share_rows"),
        "enhanced ÷ base": series(found, ENHANCED, "share_rows"),
    }


def chart(found: pl.DataFrame) -> str:
    """Render the same lines for the UI, as Markdown."""
    return line_chart(lines(found), title="Expected history that is there, all tables", unit="%")


ASSETS = [history_report]
