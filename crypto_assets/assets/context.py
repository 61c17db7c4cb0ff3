"""Group ``context``: the market around the coins. DeFi's value locked, stablecoins, fear and greed."""

import dagster as dg
import pandas as pd

from crypto_assets import schemas
from crypto_assets.assets import shell
from crypto_assets.assets.access import Providers
from crypto_assets.sources import alternative_me, defillama


@dg.asset(
    **shell.of(schemas.DEFI_METRICS, group="context", kinds={"defillama"}, layer="source", policy=shell.FROM_PROVIDER),
    pool="defillama",
)
def defi_metrics(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    chains = list(dict.fromkeys(coin.defillama for coin in providers.coins() if coin.defillama))
    fetched = providers.fetch(
        lambda client, settings: defillama.fetch_defi(client, settings, chains, start, end, providers.now())
    )
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(
    **shell.of(
        schemas.MARKET_SENTIMENT, group="context", kinds={"alternative_me"}, layer="source", policy=shell.FROM_PROVIDER
    ),
    pool="alternative_me",
)
def market_sentiment(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    fetched = providers.fetch(
        lambda client, settings: alternative_me.fetch_fear_greed(client, settings, start, end, providers.now())
    )
    shell.note(context, fetched)
    return fetched.frame


ASSETS = [defi_metrics, market_sentiment]
