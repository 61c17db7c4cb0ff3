"""Keep ``ml_features_latest`` at the newest features: the asset, and the sensor that requests it.

The asset has no partitions: it belongs to the current instant, so backfills and coverage leave it out. The sensor
requests it when the newest day of ``ml_features`` was written; a backfill of old days does not touch it.
"""

from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from crypto_assets.assets import shell
from crypto_assets.assets.documented import CHECK_FAILED, documented, page
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.dates import DAY
from crypto_assets.errors import InstanceError
from crypto_assets.serving import online
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import freshness
from crypto_assets.tables.schemas import ML_FEATURES

BACK = DAY * 2  # a coin whose newest row is older keeps its row
INTERVAL_S = 15


def _said() -> dict[str, Any]:
    """What the UI shows of ``ml_features``, but for its name, its days and where it is kept."""
    said = shell.asset_kwargs(ML_FEATURES.table)
    names = ("group_name", "owners", "tags", "freshness_policy", "metadata")
    found = {name: said[name] for name in names}
    metadata = {name: value for name, value in found["metadata"].items() if name != shell.LINEAGE}
    return {**found, "metadata": metadata, "kinds": {"postgres"}}


@dg.asset(
    **_said(),
    name=online.TABLE,
    deps=["ml_features"],
    description="The newest features row of each coin, in Postgres, for consumers that need current values.\n\nIt is the "
    f"table online.{online.TABLE} of Dagster's database, with the columns of ml_features; nothing is computed here. One row "
    "per coin.",
)
def ml_features_latest(providers: Providers) -> dg.MaterializeResult[None]:
    """Copy the newest features row of each coin to Postgres."""
    settings = providers.settings()
    rows, version = newest_rows(Warehouse(settings.warehouse))
    won = online.upsert(postgres_of(settings), rows, version) if rows.height else 0
    newest = rows["ts"].max()
    return dg.MaterializeResult(
        metadata={
            "coins": rows.height,
            "coins_updated": won,
            "delta_version": version,
            **({"newest_ts": dg.MetadataValue.timestamp(newest)} if isinstance(newest, datetime) else {}),
        }
    )


def newest_rows(warehouse: Warehouse) -> tuple[pl.DataFrame, int]:
    """Read the newest row of each coin that has a recent one.

    Args:
        warehouse: the tables.

    Returns:
        The rows, and the version of ``ml_features`` that they come from.
    """
    version = warehouse.version(ML_FEATURES.table)
    last = _newest_day(warehouse, version)
    if version is None or last is None:
        return ML_FEATURES.empty(), 0
    rows = warehouse.read(ML_FEATURES, start=last[0] - BACK, end=last[0], version=version)
    return rows.sort("symbol", "ts").group_by("symbol", maintain_order=True).last().select(ML_FEATURES.names), version


def _newest_day(warehouse: Warehouse, version: int | None = None) -> tuple[date, float] | None:
    """Return the newest day with rows and when it was written, from the commit log alone."""
    files = warehouse.files(ML_FEATURES.table, version).filter(pl.col("rows") > 0).sort("day", "written_at")
    return None if files.is_empty() else (files["day"][-1], files["written_at"][-1])


def postgres_of(settings: Settings) -> str:
    """Return the address of Dagster's Postgres.

    Args:
        settings: the address.

    Returns:
        The URL, with the password.

    Raises:
        InstanceError: no address is set.
    """
    if settings.postgres_url is None:
        raise InstanceError(
            "ml_features_latest needs DAGSTER_POSTGRES_URL; crypto-assets sets it in every run it starts"
        )
    return settings.postgres_url.get_secret_value()


@dg.sensor(
    name="put_features_online",
    target=[ml_features_latest],
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,  # it makes no provider calls
    description="Asks for ml_features_latest when the newest day of ml_features was written.",
    **documented("training.md"),
)
def put_features_online(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request ``ml_features_latest`` when the newest day of ``ml_features`` was written."""
    found = _newest_day(Warehouse(Settings.from_env().warehouse))
    if found is None:
        return dg.SkipReason("ml_features has no rows.")
    seen = f"{found[0]} {found[1]:.3f}"  # the log has milliseconds; further digits are rounding
    if seen == context.cursor:
        return dg.SkipReason("The newest day of ml_features is online.")
    reason = f"online table: ml_features {found[0]} was written"
    request = dg.RunRequest(run_key=seen, tags={"dagster/priority": "10", **reason_tags(reason)})
    return dg.SensorResult(run_requests=[request], cursor=seen)


@dg.asset_check(asset=ml_features_latest, name="fresh", metadata={"docs": page(CHECK_FAILED)})
def latest_is_fresh(providers: Providers) -> dg.AssetCheckResult:
    """Age of the newest row online against the limit of ml_features (ERROR); coins behind the table (WARN).

    Recorded data is not late, but everything that the table has must be online.
    """
    settings, now = providers.settings(), providers.now()
    rows, _ = newest_rows(Warehouse(settings.warehouse))
    there = online.newest(postgres_of(settings))
    behind = [
        coin for coin, known in rows.select("symbol", "available_at").rows() if there.get(coin, online.LONG_AGO) < known
    ]
    limit = freshness()[ML_FEATURES.table].late_after
    newest = max(there.values(), default=None)
    recorded = (
        rows.height > 0
        and bool(rows["source"].str.starts_with("sandbox").all())
        and now - max(rows["available_at"]) > timedelta(days=2)
    )
    late = newest is None or (now - newest > limit and not recorded)
    age = (
        "nothing is online"
        if newest is None
        else f"the newest row was known {(now - newest).total_seconds() / 60:.0f} min ago"
    )
    return dg.AssetCheckResult(
        passed=not late and not behind,
        severity=dg.AssetCheckSeverity.ERROR if late else dg.AssetCheckSeverity.WARN,
        description=f"{age}; {len(behind)} of {rows.height} coin(s) behind ml_features"
        + (f": {', '.join(behind[:8])}" if behind else ""),
        metadata={
            "coins": len(there),
            "coins_behind": len(behind),
            **({"age_minutes": round((now - newest).total_seconds() / 60, 1)} if newest else {}),
        },
    )


ASSETS = [ml_features_latest]
SENSORS = [put_features_online]
ASSET_CHECKS = [latest_is_fresh]
