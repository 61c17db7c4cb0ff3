"""Assets of the group ``prices``: hourly observations, hourly bars, a second venue, and perpetual futures."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from typing import TypeAlias

import dagster as dg
import pandas as pd

from crypto_assets.assets import day_in_progress, plots, quarantine, shell
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

# In one run bars come before prices, which are compared with them. There is no dependency, so bars may fail alone.
FIRST, LAST = {"dagster/priority": "10"}, {"dagster/priority": "-10"}
BarSource: TypeAlias = Callable[[Client, Settings, Sequence[Coin], date, date, datetime], Awaitable[Fetched]]


@dg.asset(**shell.asset_kwargs("prices", LAST))
def prices(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch hourly prices; prices that a second source contradicts go to ``quarantine``."""
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    warehouse = Warehouse(providers.settings().warehouse)
    if day_in_progress.covers_only_today(context, now):
        have = day_in_progress.known_hours(context, warehouse, schemas.PRICES, end)
        fetched = shell.fetch(
            context,
            providers,
            lambda client, settings: coingecko_today.fetch_today(client, settings, coins, end, now, have),
            schemas.PRICES,
        )
        day_in_progress.record_unavailable(context, "prices", end, fetched.gone)
    else:
        fetched = shell.fetch(
            context,
            providers,
            lambda client, settings: coingecko.fetch_prices(client, settings, coins, start, end, now),
            schemas.PRICES,
        )
    kept, held = quarantine.split_trusted(warehouse, fetched.frame, start, end)
    shell.note(context, fetched, quarantined_of_run=held)
    context.log_event(dg.AssetMaterialization("quarantine", metadata={"about": schemas.PRICES.table, "rows": held}))
    plots.show(context, "prices", lambda: plots.prices(kept))
    return kept


@dg.asset(**shell.asset_kwargs("ohlc", FIRST))
def ohlc(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch hourly bars, of each coin from the first source in ``OHLC_SOURCES`` that lists it."""
    return _bars(context, providers, schemas.OHLC, ohlc_source.fetch_ohlc)


@dg.asset(**shell.asset_kwargs("kraken_ohlc", FIRST))
def kraken_ohlc(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch hourly bars of Kraken in USD."""
    return _bars(context, providers, schemas.KRAKEN_OHLC, kraken.fetch_kraken)


def _bars(
    context: dg.AssetExecutionContext, providers: Providers, contract: Contract, fetch: BarSource
) -> pd.DataFrame:
    """Fetch the bars of a range. For the day in progress only coins that lack a finished bar are requested."""
    start, end = shell.days_of(context)
    coins, now = shell.coins_of(context, providers), providers.now()
    today = day_in_progress.covers_only_today(context, now)
    if today:
        stored = day_in_progress.known_hours(context, Warehouse(providers.settings().warehouse), contract, end)
        coins = tuple(day_in_progress.coins_lacking_bars(coins, stored, end, now))
    fetched = shell.fetch(
        context, providers, lambda client, settings: fetch(client, settings, coins, start, end, now), contract
    )
    if today:
        gone = day_in_progress.unavailable_bars(coins, fetched.frame, fetched.failed, end, now)
        day_in_progress.record_unavailable(context, contract.table, end, gone)
    shell.note(context, fetched)
    return fetched.frame


@dg.asset(**shell.asset_kwargs("derivatives"))
def derivatives(context: dg.AssetExecutionContext, providers: Providers) -> pd.DataFrame:
    """Fetch the hour's snapshot of perpetual futures, once an hour; past hours cannot be fetched."""
    coins, now = shell.coins_of(context, providers), providers.now()
    if now.date() not in days(*shell.days_of(context)):
        return shell.not_shown(context, schemas.DERIVATIVES)
    if day_in_progress.snapshot_is_stored(Warehouse(providers.settings().warehouse), schemas.DERIVATIVES, now):
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
