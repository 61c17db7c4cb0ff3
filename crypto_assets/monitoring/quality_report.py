"""Asset ``data_quality_report``: write the page beside the tables, with its figures as metadata."""

from datetime import datetime
from pathlib import Path

import dagster as dg

from crypto_assets.assets.documented import OPERATIONS, page
from crypto_assets.assets.providers import Providers
from crypto_assets.monitoring import whole_file
from crypto_assets.monitoring.history_report import history_report
from crypto_assets.monitoring.quality import Quality, figures, gather
from crypto_assets.monitoring.slo import slo_report
from crypto_assets.settings import Settings
from crypto_assets.tables.spec import OWNER


def path_of(settings: Settings) -> Path:
    """Return where the page is written: in the home folder, which exists even if the warehouse is away."""
    return settings.home / "reports" / "data_quality.html"


def write(
    settings: Settings, now: datetime, out: Path | None = None, instance: dg.DagsterInstance | None = None
) -> tuple[Path, Quality]:
    """Collect, render, and replace the page atomically.

    Args:
        settings: the warehouse and the home folder.
        now: the instant, UTC.
        out: the file; by default :func:`path_of`.
        instance: knows which partitions are still failed.

    Returns:
        The file, and the numbers.

    Raises:
        WarehouseError: the tables cannot be read.
        OSError: the file cannot be written.
    """
    from crypto_assets.monitoring.page import render  # drawing is slow to import, and each run imports this module

    found = gather(settings, now, instance)
    path = out or path_of(settings)
    whole_file.write(path, render(found))
    return path, found


@dg.asset(
    group_name="operations",
    owners=[OWNER],
    kinds={"html"},
    tags={"layer": "operations"},
    deps=[slo_report, history_report],
    metadata={"docs": page(OPERATIONS)},
    description="One page about the data: coverage by asset and month, the course of the history, population, freshness, agreement of sources, calls "
    "and budget, narratives, service level. The same figures are metadata, which the UI plots over time.",
)
def data_quality_report(context: dg.AssetExecutionContext, providers: Providers) -> dg.MaterializeResult[None]:
    """Write the page, and report its figures as metadata."""
    path, found = write(providers.settings(), providers.now(), instance=context.instance)
    broken = ", ".join(found.not_readable) or "none"
    return dg.MaterializeResult(
        metadata={"path": dg.MetadataValue.path(str(path)), "not_readable": broken, **figures(found)}
    )


ASSETS = [data_quality_report]
