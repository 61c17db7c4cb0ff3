"""Keep ``ml_features_latest`` and ``signals_latest`` at the newest rows: the assets, and the sensors that request them.

The assets have no partitions: they belong to the current instant, so backfills and coverage leave them out. A sensor
requests one when the newest day of its table was written; a backfill of old days does not touch it.
"""

from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from crypto_assets.assets import shell
from crypto_assets.assets.documented import CHECK_FAILED, MODELS, documented, page
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.run_tags import reason_tags
from crypto_assets.dates import DAY
from crypto_assets.errors import InstanceError
from crypto_assets.serving import online
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.registry import freshness
from crypto_assets.tables.schemas import ML_FEATURES, SIGNALS

BACK = DAY * 2  # a coin whose newest row is older keeps its row
INTERVAL_S = 15
SIGNALS_LATEST = f"{SIGNALS.table}{online.SUFFIX}"


def _said(contract: Contract) -> dict[str, Any]:
    """What the UI shows of a table, but for its name, its days and where it is kept."""
    said = shell.asset_kwargs(contract.table)
    names = ("group_name", "owners", "tags", "freshness_policy", "metadata")
    found = {name: said[name] for name in names}
    metadata = {name: value for name, value in found["metadata"].items() if name != shell.LINEAGE}
    return {**found, "metadata": metadata, "kinds": {"postgres"}}


@dg.asset(
    **_said(ML_FEATURES),
    name=online.TABLE,
    deps=["ml_features"],
    description="The newest features row of each coin, in Postgres, for consumers that need current values.\n\nIt is the "
    f"table online.{online.TABLE} of Dagster's database, with the columns of ml_features; nothing is computed here. One row "
    "per coin.",
)
def ml_features_latest(providers: Providers) -> dg.MaterializeResult[None]:
    """Copy the newest features row of each coin to Postgres."""
    return _copied(providers, ML_FEATURES)


@dg.asset(
    **_said(SIGNALS),
    name=SIGNALS_LATEST,
    deps=["signals"],
    description="The newest signal of each coin, in Postgres, for consumers that need current values.\n\nIt is the table "
    f"online.{SIGNALS_LATEST} of Dagster's database, with the columns of signals; nothing is computed here. One row per coin.",
)
def signals_latest(providers: Providers) -> dg.MaterializeResult[None]:
    """Copy the newest signal of each coin to Postgres."""
    return _copied(providers, SIGNALS)


def _copied(providers: Providers, contract: Contract) -> dg.MaterializeResult[None]:
    settings = providers.settings()
    rows, version = newest_rows(Warehouse(settings.warehouse), contract)
    won = online.upsert(postgres_of(settings), rows, version, contract) if rows.height else 0
    newest = rows["ts"].max()
    return dg.MaterializeResult(
        metadata={
            "coins": rows.height,
            "coins_updated": won,
            "delta_version": version,
            **({"newest_ts": dg.MetadataValue.timestamp(newest)} if isinstance(newest, datetime) else {}),
        }
    )


def newest_rows(warehouse: Warehouse, contract: Contract = ML_FEATURES) -> tuple[pl.DataFrame, int]:
    """Read the newest row of each coin that has a recent one.

    Args:
        warehouse: the tables.
        contract: of the table.

    Returns:
        The rows, and the version of the table that they come from.
    """
    version = warehouse.version(contract.table)
    last = _newest_day(warehouse, contract, version)
    if version is None or last is None:
        return contract.empty(), 0
    rows = warehouse.read(contract, start=last[0] - BACK, end=last[0], version=version)
    return rows.sort("symbol", "ts").group_by("symbol", maintain_order=True).last().select(contract.names), version


def _newest_day(warehouse: Warehouse, contract: Contract, version: int | None = None) -> tuple[date, float] | None:
    """Return the newest day with rows and when it was written, from the commit log alone."""
    files = warehouse.files(contract.table, version).filter(pl.col("rows") > 0).sort("day", "written_at")
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
        raise InstanceError("the tables online need DAGSTER_POSTGRES_URL; crypto-assets sets it in every run it starts")
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
    return _asked(context, ML_FEATURES)


@dg.sensor(
    name="put_signals_online",
    target=[signals_latest],
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,  # it makes no provider calls
    description="Asks for signals_latest when the newest day of signals was written.",
    **documented(MODELS),
)
def put_signals_online(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request ``signals_latest`` when the newest day of ``signals`` was written."""
    return _asked(context, SIGNALS)


def _asked(context: dg.SensorEvaluationContext, contract: Contract) -> dg.SensorResult | dg.SkipReason:
    found = _newest_day(Warehouse(Settings.from_env().warehouse), contract)
    if found is None:
        return dg.SkipReason(f"{contract.table} has no rows.")
    seen = f"{found[0]} {found[1]:.3f}"  # the log has milliseconds; further digits are rounding
    if seen == context.cursor:
        return dg.SkipReason(f"The newest day of {contract.table} is online.")
    reason = f"online table: {contract.table} {found[0]} was written"
    request = dg.RunRequest(run_key=seen, tags={"dagster/priority": "10", **reason_tags(reason)})
    return dg.SensorResult(run_requests=[request], cursor=seen)


@dg.asset_check(asset=ml_features_latest, name="fresh", metadata={"docs": page(CHECK_FAILED)})
def latest_is_fresh(providers: Providers) -> dg.AssetCheckResult:
    """Age of the newest row online against the limit of ml_features (ERROR); coins behind the table (WARN).

    Recorded data is not late, but everything that the table has must be online.
    """
    return _fresh(providers, ML_FEATURES)


@dg.asset_check(asset=signals_latest, name="fresh", metadata={"docs": page(CHECK_FAILED)})
def latest_signals_are_fresh(providers: Providers) -> dg.AssetCheckResult:
    """Age of the newest signal online against the limit of signals (ERROR); coins behind the table (WARN).

    While there is no signal, none is late: no model has been trained.
    """
    return _fresh(providers, SIGNALS)


def _fresh(providers: Providers, contract: Contract) -> dg.AssetCheckResult:
    settings, now = providers.settings(), providers.now()
    rows, _ = newest_rows(Warehouse(settings.warehouse), contract)
    there = online.newest(postgres_of(settings), contract)
    behind = [
        coin for coin, known in rows.select("symbol", "available_at").rows() if there.get(coin, online.LONG_AGO) < known
    ]
    limit = freshness()[contract.table].late_after
    newest = max(there.values(), default=None)
    nothing_due = rows.is_empty() and contract is SIGNALS
    recorded = (
        rows.height > 0
        and bool(rows["source"].str.starts_with("sandbox").all())
        and now - max(rows["available_at"]) > timedelta(days=2)
    )
    late = (newest is None and not nothing_due) or (newest is not None and now - newest > limit and not recorded)
    age = (
        "nothing is online"
        if newest is None
        else f"the newest row was known {(now - newest).total_seconds() / 60:.0f} min ago"
    )
    return dg.AssetCheckResult(
        passed=not late and not behind,
        severity=dg.AssetCheckSeverity.ERROR if late else dg.AssetCheckSeverity.WARN,
        description=f"{age}; {len(behind)} of {rows.height} coin(s) behind {contract.table}"
        + (f": {', '.join(behind[:8])}" if behind else ""),
        metadata={
            "coins": len(there),
            "coins_behind": len(behind),
            **({"age_minutes": round((now - newest).total_seconds() / 60, 1)} if newest else {}),
        },
    )


ASSETS = [ml_features_latest, signals_latest]
SENSORS = [put_features_online, put_signals_online]
ASSET_CHECKS = [latest_is_fresh, latest_signals_are_fresh]
