"""Group ``onchain``: the provider's daily numbers, and everything derived from each of their rows."""

import dagster as dg
import pandas as pd

from crypto_assets.assets import shell
from crypto_assets.assets.providers import Providers
from crypto_assets.sources import coinmetrics
from crypto_assets.tables import schemas
from crypto_assets.transforms import onchain as transform


@dg.asset(
    **shell.asset_kwargs(
        schemas.ONCHAIN_BASE, group="onchain", kinds={"coinmetrics"}, layer="source", policy=shell.FROM_PROVIDER
    ),
    pool="coinmetrics",
)
def onchain_base(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    fetched = shell.fetch(
        context,
        providers,
        lambda client, settings: coinmetrics.fetch_onchain(
            client, settings, providers.coins(), start, end, providers.now()
        ),
        schemas.ONCHAIN_BASE,
    )
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(
    **shell.asset_kwargs(
        schemas.ONCHAIN_ENHANCED, group="onchain", kinds={"pandas"}, layer="derived", policy=shell.DERIVED
    ),
    ins={"onchain_base": shell.look_back(transform.LOOKBACK_DAYS)},
)
def onchain_enhanced(context: dg.AssetExecutionContext, onchain_base: pd.DataFrame) -> pd.DataFrame:
    start, end = shell.days_of(context)
    return transform.enhance(onchain_base, start, end)


ASSETS = [onchain_base, onchain_enhanced]
