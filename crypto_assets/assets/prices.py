"""Group ``prices``: hourly observations and hourly bars."""

import dagster as dg
import pandas as pd

from crypto_assets import schemas
from crypto_assets.assets import shell
from crypto_assets.assets.access import Providers
from crypto_assets.sources import coingecko
from crypto_assets.sources import ohlc as ohlc_source


@dg.asset(
    **shell.of(schemas.PRICES, group="prices", kinds={"coingecko"}, layer="source", policy=shell.FROM_PROVIDER),
    pool="coingecko",
)
def prices(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    fetched = providers.fetch(
        lambda client, settings: coingecko.fetch_prices(
            client, settings, providers.coins(), start, end, providers.now()
        )
    )
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(
    **shell.of(schemas.OHLC, group="prices", kinds={"binance", "kraken"}, layer="source", policy=shell.FROM_PROVIDER),
    pool="ohlc",
)
def ohlc(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    fetched = providers.fetch(
        lambda client, settings: ohlc_source.fetch_ohlc(
            client, settings, providers.coins(), start, end, providers.now()
        )
    )
    shell.note(context, fetched)
    return fetched.frame


ASSETS = [prices, ohlc]
