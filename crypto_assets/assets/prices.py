"""Group ``prices``: hourly observations, hourly bars, a second venue, and perpetual futures."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from typing import TypeAlias

import dagster as dg
import pandas as pd

from crypto_assets.assets import plots, progress, quarantine, shell
from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import Coin
from crypto_assets.dates import days
from crypto_assets.settings import Settings
from crypto_assets.sources import coingecko, coingecko_context, coingecko_today, kraken
from crypto_assets.sources import ohlc as ohlc_source
from crypto_assets.sources.client.http import Client
from crypto_assets.sources.fetched import Fetched
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables import schemas
from crypto_assets.tables.contract import Contract

# Within one run bars come before prices, which are held against them. No dependency: bars may fail alone.
FIRST, LAST = {"dagster/priority": "10"}, {"dagster/priority": "-10"}
BarSource: TypeAlias = Callable[[Client, Settings, Sequence[Coin], date, date, datetime], Awaitable[Fetched]]


@dg.asset(**shell.asset_kwargs("prices"), op_tags=LAST)
def prices(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    warehouse = Warehouse(providers.settings().warehouse)
    if progress.only_today(context, now):
        have = progress.have(context, warehouse, schemas.PRICES, end)
        fetched = shell.fetch(
            context,
            providers,
            lambda client, settings: coingecko_today.fetch_today(client, settings, coins, end, now, have),
            schemas.PRICES,
        )
        progress.remember(context, "prices", end, fetched.gone)
    else:
        fetched = shell.fetch(
            context,
            providers,
            lambda client, settings: coingecko.fetch_prices(client, settings, coins, start, end, now),
            schemas.PRICES,
        )
    kept, held = quarantine.split_trusted(warehouse, fetched.frame, start, end)
    shell.note(context, fetched, quarantined_of_run=held)
    plots.show(context, "prices", lambda: plots.prices(kept))
    return kept


@dg.asset(**shell.asset_kwargs("ohlc"), op_tags=FIRST)
def ohlc(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    return _bars(context, providers, schemas.OHLC, ohlc_source.fetch_ohlc)


@dg.asset(**shell.asset_kwargs("kraken_ohlc"), op_tags=FIRST)
def kraken_ohlc(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    return _bars(context, providers, schemas.KRAKEN_OHLC, kraken.fetch_kraken)


def _bars(
    context: dg.AssetExecutionContext, providers: Providers, contract: Contract, fetch: BarSource
) -> pd.DataFrame:
    """Bars of a range; of the day in progress, of the coins that lack a finished one."""
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    today = progress.only_today(context, now)
    if today:
        stored = progress.have(context, Warehouse(providers.settings().warehouse), contract, end)
        coins = tuple(progress.lacking(coins, stored, end, now))
    fetched = shell.fetch(
        context, providers, lambda client, settings: fetch(client, settings, coins, start, end, now), contract
    )
    if today:
        gone = progress.gone_bars(coins, fetched.frame, fetched.failed, end, now)
        progress.remember(context, contract.table, end, gone)
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(**shell.asset_kwargs("derivatives"))
def derivatives(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    coins, now = shell.coins_of(context, providers), providers.now()
    if now.date() not in days(*shell.days_of(context)):
        return shell.not_shown(context, schemas.DERIVATIVES)
    if progress.seen(Warehouse(providers.settings().warehouse), schemas.DERIVATIVES, now):
        return shell.already_seen(context, schemas.DERIVATIVES)
    fetched = shell.fetch(
        context,
        providers,
        lambda client, settings: coingecko_context.fetch_derivatives(client, settings, coins, now),
        schemas.DERIVATIVES,
    )
    shell.note(context, fetched)
    return fetched.frame


ASSETS = [prices, ohlc, kraken_ohlc, derivatives]
