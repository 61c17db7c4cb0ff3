"""Assets of the group ``onchain``: the providers' daily numbers, and the ratios derived from each row."""

import dagster as dg
import pandas as pd

from crypto_assets.assets import derived, shell
from crypto_assets.assets.providers import Providers
from crypto_assets.sources import coinmetrics, network
from crypto_assets.tables import schemas


@dg.asset(**shell.asset_kwargs("onchain_base"))
def onchain_base(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch the daily metrics of the configured coins."""
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


@dg.asset(**shell.asset_kwargs("network_metrics"))
def network_metrics(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch the chain data of providers without a key."""
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    fetched = shell.fetch(
        context,
        providers,
        lambda client, settings: network.fetch_network(client, settings, coins, start, end, now),
        schemas.NETWORK_METRICS,
    )
    shell.note(context, fetched)
    return fetched.frame


onchain_enhanced = derived.BY_NAME["onchain_enhanced"]

ASSETS = [onchain_base, network_metrics]
