"""Group ``prices``: hourly observations, hourly bars, a second venue, and perpetual futures."""

import dagster as dg
import pandas as pd

from crypto_assets import schemas
from crypto_assets.assets import quarantine, shell
from crypto_assets.assets.access import Providers
from crypto_assets.partitions import days
from crypto_assets.sources import coingecko, coingecko_context, kraken
from crypto_assets.sources import ohlc as ohlc_source
from crypto_assets.storage.warehouse import Warehouse

# Within one run bars come before prices, which are held against them. No dependency: bars may fail alone.
FIRST, LAST = {"dagster/priority": "10"}, {"dagster/priority": "-10"}


@dg.asset(
    **shell.of(schemas.PRICES, group="prices", kinds={"coingecko"}, layer="source", policy=shell.FROM_PROVIDER),
    pool="coingecko",
    op_tags=LAST,
)
def prices(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    fetched = providers.fetch(lambda client, settings: coingecko.fetch_prices(client, settings, coins, start, end, now))
    kept, held = quarantine.believed(Warehouse(providers.settings().warehouse), fetched.frame, start, end)
    shell.note(context, fetched, quarantined=held)
    return kept


@dg.asset(
    **shell.of(schemas.OHLC, group="prices", kinds={"binance", "kraken"}, layer="source", policy=shell.FROM_PROVIDER),
    pool="ohlc",
    op_tags=FIRST,
)
def ohlc(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    fetched = providers.fetch(lambda client, settings: ohlc_source.fetch_ohlc(client, settings, coins, start, end, now))
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(
    **shell.of(schemas.KRAKEN_OHLC, group="prices", kinds={"kraken"}, layer="source", policy=shell.FROM_PROVIDER),
    pool="kraken",
    op_tags=FIRST,
)
def kraken_ohlc(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    fetched = providers.fetch(lambda client, settings: kraken.fetch_kraken(client, settings, coins, start, end, now))
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(
    **shell.of(schemas.DERIVATIVES, group="prices", kinds={"coingecko"}, layer="source", policy=shell.FROM_PROVIDER),
    pool="coingecko",
)
def derivatives(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    coins, now = shell.coins_of(context, providers), providers.now()
    if now.date() not in days(*shell.days_of(context)):
        return shell.not_shown(context, schemas.DERIVATIVES)
    fetched = providers.fetch(
        lambda client, settings: coingecko_context.fetch_derivatives(client, settings, coins, now)
    )
    shell.note(context, fetched)
    return fetched.frame


ASSETS = [prices, ohlc, kraken_ohlc, derivatives]
