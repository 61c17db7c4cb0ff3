"""Asset ``universe`` of the group ``prices``: which coins there were on each day."""

import dagster as dg
import polars as pl

from crypto_assets.assets import shell
from crypto_assets.assets.providers import Providers
from crypto_assets.transforms.universe import universe as coins_by_day

# Before ml_features, which does not read it: a training set takes the universe as it was when its features were written.
FIRST = {"dagster/priority": "10"}


@dg.asset(**shell.asset_kwargs("universe", FIRST), ins=shell.inputs_of("universe"))
def universe(
    context: dg.AssetExecutionContext, providers: Providers, prices: pl.DataFrame, ohlc: pl.DataFrame
) -> pl.DataFrame:
    """Compute the state of each configured coin on the days of the run."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    rows = coins_by_day(prices, ohlc, providers.coins(), start, end)
    return shell.with_worst("universe", rows, {"prices": prices, "ohlc": ohlc})


ASSETS = [universe]
