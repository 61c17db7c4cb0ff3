"""Asset of the group ``ml``: the point-in-time feature table."""

from typing import Any

import dagster as dg
import polars as pl

from crypto_assets.assets import derived, shell
from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import symbols
from crypto_assets.features.build import build_features

INPUTS = {
    table: given._replace(dagster_type=derived.TYPES[pl.DataFrame])
    for table, given in shell.inputs_of("ml_features").items()
}


@dg.asset(**shell.asset_kwargs("ml_features"), ins=INPUTS)
def ml_features(context: dg.AssetExecutionContext, providers: Providers, **tables: Any) -> pl.DataFrame:
    """Compute the features of the configured coins for the days of the run, from the inputs over their look-back."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    shell.show_backfilled(context, "ml_features", tables)
    return build_features(
        tables=tables,
        venues=providers.settings().derivative_sources,
        symbols=symbols(providers.coins()),
        start=start,
        end=end,
    )


ASSETS = [ml_features]
